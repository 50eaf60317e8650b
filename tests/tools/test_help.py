import subprocess
import sys

import pytest

from tests.shared import REPO

TOOLS = sorted([*(REPO / 'tools').rglob('*.py'), *REPO.glob('projects/*/tools/*.py')])


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.stem)
def test_help_answers_without_loading_the_library(tool):
    code = f'import sys, runpy; sys.argv = ["{tool.name}", "--help"]; runpy.run_path("{tool}", run_name="__main__")'
    probe = f'import atexit, sys; atexit.register(lambda: print("torch" in sys.modules)); {code}'
    process = subprocess.run(
        [sys.executable, '-c', probe], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[0].startswith('usage:')
    assert process.stdout.splitlines()[-1] == 'False'  # nothing heavy was imported


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_scripts_say_how_they_are_used(script):
    process = subprocess.run(['bash', str(REPO / 'tools' / script)], capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr.startswith(f'usage: bash tools/{script}')
