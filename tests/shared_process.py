"""Python scripts that tests run in processes forked from one in which the libraries are imported.

A Python that is started imports torch, mmengine and timm for 5 s; a fork of the server takes 0.1 s.
The process is a real one: it has its own output, exit code, working directory, environment, random
states and signals, and may have children. It differs from a started one in this:

- Modules are imported already. What a library reads from the environment while it is imported
  (``TRITON_INTERPRET``, ``OMP_NUM_THREADS``) is that of the test session, and a script that forgets
  an import of ``depth`` or torch is not found out. ``tests/tools/test_help.py`` starts processes.
- Functions registered with ``atexit`` are not called, as in every process of ``multiprocessing``.
- Its parent is the server, so that a signal to the group of the tests does not reach it.

Tests of signals to a training set the process up by themselves, as ``tests/faults/training.py``
does with the same server. ``tests/engine/test_distributed.py`` and ``tests/faults/test_signals.py``
start real processes by the launch scripts; other tests of several processes fork them here.
"""

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Imported for the forks.
import depth.apis
import depth.engine
import depth.evaluation
import depth.models  # noqa: F401

SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload(['tests.shared_process'])


class RunningPython:
    """Script in a process that was forked from the server; its outputs go to files.

    Args:
        command: ``sys.executable``, the path of a script, and its arguments.
        cwd: Working directory; None for that of the tests.
        env: Environment; None for that of the tests.

    Raises:
        ValueError: If the command is not a Python script.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        if self.command[0] != sys.executable or not self.command[1].endswith('.py'):
            raise ValueError(f'a fork takes sys.executable and a script, got {self.command[:2]}')
        folder = str(cwd or os.getcwd())
        environment = dict(os.environ if env is None else env)
        self.outputs = tempfile.TemporaryDirectory()
        arguments = (self.command[1:], folder, environment, self.outputs.name)
        self.process = SERVER.Process(target=_run_script, args=arguments)
        self.process.start()

    def output(self) -> str:
        """Return what the script has printed so far: standard output, then errors."""
        paths = [Path(self.outputs.name, name) for name in ('stdout', 'stderr')]
        return ''.join(path.read_text() for path in paths if path.exists())

    def wait_for(self, text: str, timeout: float = 300) -> None:
        """Return once the script has printed a text.

        Raises:
            AssertionError: If it ended, or the time was over, before.
        """
        end = time.monotonic() + timeout
        while text not in self.output():
            if self.process.exitcode is not None or time.monotonic() > end:
                raise AssertionError(f'{text!r} was not printed, but:\n{self.output()}')
            time.sleep(0.02)

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process."""
        os.kill(self.process.pid, signum)

    def wait(self, timeout: float = 300) -> subprocess.CompletedProcess:
        """Return exit code and outputs once the process has ended.

        Raises:
            subprocess.TimeoutExpired: If the process was killed because the time was over.
        """
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise subprocess.TimeoutExpired(self.command, timeout, output=self.output())
        stdout, stderr = (
            Path(self.outputs.name, name).read_text() for name in ('stdout', 'stderr')
        )
        self.outputs.cleanup()
        return subprocess.CompletedProcess(self.command, self.process.exitcode, stdout, stderr)


def run_python(
    command: Sequence[str],
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess:
    """Run a script to its end as ``subprocess.run(command, capture_output=True, text=True)`` does.

    Arguments and errors as in :class:`RunningPython`, and ``timeout``: seconds after which the
    process is killed.
    """
    return RunningPython(command, cwd, env).wait(timeout)


def start_processes(
    command: Sequence[str],
    num_processes: int,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> list[RunningPython]:
    """Start the processes of a distributed run as ``torchrun`` does, one for each rank.

    Args:
        command: ``sys.executable``, a script and its arguments, with ``--launcher pytorch``.
        num_processes: Number of ranks.
        cwd: Working directory; None for that of the tests.
        env: Environment; None for that of the tests.
    """
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    launch = dict(WORLD_SIZE=num_processes, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    processes = []
    for rank in range(num_processes):
        variables = dict(launch, RANK=rank, LOCAL_RANK=rank)
        environment = dict(os.environ if env is None else env)
        environment.update({name: str(value) for name, value in variables.items()})
        processes.append(RunningPython(command, cwd, environment))
    return processes


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
