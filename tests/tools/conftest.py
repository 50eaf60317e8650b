import runpy
import subprocess
import sys

import pytest

from tests.shared import REPO
from tests.shared_process import run_python


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Return a function that runs a tool in this process and returns what it printed.

    The Python scripts that the tool starts are run in forked processes.
    """

    def run(script, *arguments):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        monkeypatch.setattr(subprocess, 'run', lambda command, **_: run_python(command, cwd=REPO))
        runpy.run_path(str(REPO / script), run_name='__main__')
        return capsys.readouterr().out

    return run
