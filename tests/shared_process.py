"""Python scripts that tests run in processes forked from one in which the libraries are imported.

A Python that is started imports torch, mmengine and timm for 5 s; a fork of the server takes 0.1 s.
The process is a real one: it has its own output, exit code, working directory, environment, random
states and signals, and may have children. It differs from a started one in this:

- Modules are imported already. What a library reads from the environment while it is imported
  (``TRITON_INTERPRET``, ``OMP_NUM_THREADS``) is that of the test session, and a script that forgets
  an import of ``depth`` or torch is not found out. ``tests/tools/test_help.py`` starts processes.
- Functions registered with ``atexit`` are not called, as in every process of ``multiprocessing``.
- Its parent is the server, so that a signal to the group of the tests does not reach it.

Tests of signals and of several processes (DDP) start real ones or set the process up by themselves,
as ``tests/faults/training.py`` does with the same server.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# Imported for the forks.
import depth.apis
import depth.engine
import depth.evaluation
import depth.models  # noqa: F401

SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload(['tests.shared_process'])


def run_python(
    command: Sequence[str],
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess:
    """Run a script to its end as ``subprocess.run(command, capture_output=True, text=True)`` does.

    Args:
        command: ``sys.executable``, the path of a script, and its arguments.
        cwd: Working directory; None for that of the tests.
        env: Environment; None for that of the tests.
        timeout: Seconds after which the process is killed.

    Raises:
        ValueError: If the command is not a Python script.
        subprocess.TimeoutExpired: If the process was killed.
    """
    command = [str(word) for word in command]
    if command[0] != sys.executable or not command[1].endswith('.py'):
        raise ValueError(f'run_python takes sys.executable and a script, got {command[:2]}')
    folder = str(cwd or os.getcwd())
    environment = dict(os.environ if env is None else env)
    with tempfile.TemporaryDirectory() as outputs:
        arguments = (command[1:], folder, environment, outputs)
        process = SERVER.Process(target=_run_script, args=arguments)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        stdout, stderr = (Path(outputs, name).read_text() for name in ('stdout', 'stderr'))
    return subprocess.CompletedProcess(command, process.exitcode, stdout, stderr)


def _run_script(
    arguments: list[str], folder: str, environment: dict[str, str], outputs: str
) -> None:
    """Become the process of a script: set up its output, environment, folder and path, and run it."""
    for descriptor, name in ((1, 'stdout'), (2, 'stderr')):
        with open(Path(outputs, name), 'wb') as file:
            os.dup2(file.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    script = os.path.abspath(arguments[0])
    # As of an interpreter that is started: the script's folder, PYTHONPATH, then the rest.
    python_path = environment.get('PYTHONPATH', '')
    sys.path[:0] = [os.path.dirname(script), *filter(None, python_path.split(os.pathsep))]
    sys.argv = list(arguments)
    runpy.run_path(script, run_name='__main__')
