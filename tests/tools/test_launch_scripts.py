"""Tests of the shell scripts that start several processes."""

import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ('script', 'arguments', 'launch'),
    [
        ('dist_train.sh', ['config.py', '2'], 'python -m torch.distributed.run'),
        ('dist_test.sh', ['config.py', 'a.pth', '2'], 'python -m torch.distributed.run'),
        ('slurm_train.sh', ['gpu', 'job', 'config.py'], 'srun -p gpu'),
        ('slurm_test.sh', ['gpu', 'job', 'config.py', 'a.pth'], 'srun -p gpu'),
    ],
)
def test_the_cache_of_yapf_is_written_before_processes_start_together(
    tmp_path, script, arguments, launch
):
    """Its first import writes a file that a process beside it reads half (EOFError in `import`)."""
    calls = tmp_path / 'calls'
    for command in ('python', 'srun'):
        stand_in = tmp_path / command
        stand_in.write_text(f'#!/bin/sh\necho "{command} $*" >>"{calls}"\necho 29511\n')
        stand_in.chmod(0o755)
    environment = dict(os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}')
    subprocess.run(
        ['bash', str(REPO / 'tools' / script), *arguments],
        env=environment,
        check=True,
        capture_output=True,
    )
    lines = calls.read_text().splitlines()
    assert lines[-1].startswith(launch)
    assert 'python -c import yapf' in lines[:-1]
