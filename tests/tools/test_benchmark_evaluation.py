import re
import sys

import pytest

from tests.shared import REPO
from tests.shared_process import run_python


@pytest.mark.slow
def test_times_and_shares_are_printed():
    command = [sys.executable, 'tools/analysis_tools/benchmark_evaluation.py']
    command += [
        'configs/synthetic/depthformer_tiny_rooms.py',
        '--size',
        '64',
        '96',
        '--repeats',
        '2',
    ]
    command += ['--protocol', 'rooms_10', '--dataset', 'synthetic_rooms']
    process = run_python(command, cwd=REPO)
    assert process.returncode == 0, process.stderr
    forward = float(
        re.search(r'forward pass at 64x96, cpu, torch \S+: ([\d.]+) ms', process.stdout).group(1)
    )
    share = re.search(r'one protocol: ([\d.]+) ms, ([\d.]+)%', process.stdout)
    assert float(share.group(2)) == pytest.approx(100 * float(share.group(1)) / forward, rel=0.1)
    assert 'all protocols (' in process.stdout
