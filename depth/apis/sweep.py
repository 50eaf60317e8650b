"""Sweep over settings and seeds: each run a training and a test in processes of their own."""

import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from depth.atomic_write import write_atomically
from depth.engine.errors import WorkDirInUseError
from depth.engine.work_dir_lock import check_free

from .sweep_plan import SweepPlan, SweepRun, write_settings

CHECKPOINTS = ('last', 'best')
PROGRAM = (sys.executable, '-m', 'depth.cli.main')
STAGES = ('train', 'test')
# Exit codes of a process that a signal ended: 128 + n, or -n where Python could not answer.
_INTERRUPTED = (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM)
_POLL_INTERVAL = 0.1  # seconds
# Not metrics, although the file of a test has them.
_TIMES = ('time', 'data_time')


@dataclass
class _Job:
    """A process at work.

    Attributes:
        run: The run.
        stage: ``'train'`` or ``'test'``.
        slot: Number below the number of jobs, which chooses the GPU.
        process: The process.
        log: Its output.
        started: When it was started, in seconds of the monotonic clock.
    """

    run: SweepRun
    stage: str
    slot: int
    process: subprocess.Popen
    log: IO
    started: float


class SweepRunner:
    """Runner of a sweep's trainings and tests.

    A finished run is left as it is, an interrupted or failed one continues from its newest
    checkpoint. A run that fails does not stop the others.

    Args:
        jobs: Processes at the same time.
        gpus: Numbers of the GPUs, of which each process sees one in turn; empty: all see the same.
        checkpoint: Checkpoint that is tested: ``'last'``, or ``'best'`` of the validations.
        program: Command of the ``depth`` program; by default that of this Python.
        report: Receives one line for each event.
        grace: Seconds for a training to save its checkpoint after it was told to end.

    Raises:
        ValueError: If an argument has none of these values.
    """

    def __init__(
        self,
        *,
        jobs: int = 1,
        gpus: Sequence[int] = (),
        checkpoint: str = 'last',
        program: Sequence[str] | None = None,
        report: Callable[[str], None] = print,
        grace: float = 120.0,
    ) -> None:
        if jobs < 1:
            raise ValueError(f'--jobs is at least 1, got {jobs}')
        if checkpoint not in CHECKPOINTS:
            raise ValueError(f'checkpoint is one of {", ".join(CHECKPOINTS)}, got {checkpoint!r}')
        self.jobs = jobs
        self.gpus = tuple(gpus)
        self.checkpoint = checkpoint
        self.program = tuple(program or PROGRAM)
        self.report = report
        self.grace = grace
        self.active: list[_Job] = []

    def run(self, runs: Sequence[SweepRun]) -> None:
        """Bring every run to its end, or to its failure.

        Ctrl-C or SIGTERM ends the processes; a training saves a checkpoint first, so that the same
        call continues it.

        Raises:
            KeyboardInterrupt: After Ctrl-C, when the processes have ended.
            SystemExit: After SIGTERM, with the code 143.
        """
        queue = []
        for run in runs:
            if not self._is_finished(run):
                queue.append(run)
        with _exit_on_sigterm():
            try:
                while queue or self.active:
                    while queue and len(self.active) < self.jobs:
                        self._begin(queue.pop(0))
                    time.sleep(_POLL_INTERVAL)
                    self._collect_ended()
            finally:
                self._end_all()

    def _is_finished(self, run: SweepRun) -> bool:
        manifest = run.read_manifest()
        if manifest.get('state') != 'finished':
            return False
        if manifest['checkpoint_choice'] != self.checkpoint:
            # Only the test has to be repeated.
            run.write_manifest(state='trained', train_seconds=manifest.get('train_seconds'))
            return False
        self.report(f'finished before: {run.folder.name}')
        return True

    def _begin(self, run: SweepRun) -> None:
        """Start a run where it stopped."""
        run.folder.mkdir(parents=True, exist_ok=True)
        try:
            check_free(run.folder)
        except WorkDirInUseError as error:
            # Of another sweep, which writes the manifest too.
            self.report(f'left out: {run.folder.name}: {error}')
            return
        slots = {job.slot for job in self.active}
        slot = next(number for number in range(self.jobs) if number not in slots)
        is_trained = run.read_manifest().get('state') == 'trained'
        self._start(run, 'test' if is_trained else 'train', slot)

    def _start(self, run: SweepRun, stage: str, slot: int) -> None:
        """Start the process of a stage."""
        command = [*self.program, stage, run.config]
        if stage == 'train':
            command += ['--work-dir', str(run.folder), '--seed', str(run.seed), '--resume', 'auto']
            run.write_manifest(state='training')
        else:
            try:
                checkpoint = find_checkpoint(run.folder, self.checkpoint)
            except FileNotFoundError as error:
                # The next call trains again, from whatever checkpoint is left.
                self._fail(run, 'train', str(error))
                return
            command += [str(checkpoint), '--work-dir', str(run.folder / 'test')]
        if run.overrides:
            command += ['--cfg-options', *run.overrides]
        log = (run.folder / f'sweep_{stage}.log').open('ab')
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment(slot),
            # Ctrl-C reaches this process alone, which passes one signal on to each child.
            start_new_session=True,
        )
        self.active.append(_Job(run, stage, slot, process, log, time.monotonic()))
        self.report(f'{stage}: {run.folder.name}')

    def _environment(self, slot: int) -> dict[str, str]:
        """Return the environment of a process: its GPU, and its share of the cores."""
        environment = dict(os.environ)
        if self.gpus:
            environment['CUDA_VISIBLE_DEVICES'] = str(self.gpus[slot % len(self.gpus)])
        if self.jobs > 1:
            threads = max((os.cpu_count() or 1) // self.jobs, 1)
            environment.setdefault('OMP_NUM_THREADS', str(threads))
        return environment

    def _collect_ended(self) -> None:
        """Record the processes that have ended, and start the tests of finished trainings."""
        for job in list(self.active):
            code = job.process.poll()
            if code is None:
                continue
            self.active.remove(job)
            job.log.close()
            seconds = time.monotonic() - job.started
            if code in _INTERRUPTED:
                self.report(f'interrupted: {job.run.folder.name}; the same command continues it')
            elif code:
                line = last_error_line(Path(job.log.name))
                self._fail(job.run, job.stage, line or f'exit code {code}')
            elif job.stage == 'train':
                job.run.write_manifest(state='trained', train_seconds=round(seconds, 1))
                self._start(job.run, 'test', job.slot)
            else:
                self._finish(job.run, seconds)

    def _finish(self, run: SweepRun, seconds: float) -> None:
        """Record the metrics of a test."""
        try:
            metrics, protocols = read_test(run.folder / 'test')
        except (OSError, ValueError) as error:
            self._fail(run, 'test', str(error))
            return
        run.write_manifest(
            state='finished',
            checkpoint_choice=self.checkpoint,
            checkpoint=find_checkpoint(run.folder, self.checkpoint).name,
            metrics=metrics,
            protocols=protocols,
            train_seconds=run.read_manifest().get('train_seconds'),
            test_seconds=round(seconds, 1),
        )
        self.report(f'finished: {run.folder.name}')

    def _fail(self, run: SweepRun, stage: str, error: str) -> None:
        """Record a failure; the run is tried again by the next call."""
        run.write_manifest(
            state='trained' if stage == 'test' else 'failed',
            stage=stage,
            error=error,
            train_seconds=run.read_manifest().get('train_seconds'),
        )
        self.report(f'failed: {run.folder.name}, {stage}: {error}')

    def _end_all(self) -> None:
        """End the processes that are still at work: SIGTERM, then after the grace SIGKILL."""
        for job in self.active:
            with contextlib.suppress(ProcessLookupError):
                job.process.terminate()
        deadline = time.monotonic() + self.grace
        try:
            for job in self.active:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    job.process.wait(max(deadline - time.monotonic(), 0))
        finally:
            # A second Ctrl-C ends the waiting. Loader workers belong to the group of their
            # training.
            for job in self.active:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(job.process.pid, signal.SIGKILL)
                job.process.wait()
                job.log.close()
            self.active = []


@contextlib.contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into ``SystemExit(143)``; Python allows handlers in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def find_checkpoint(work_dir: Path, choice: str) -> Path:
    """Return the last or the best checkpoint of a training.

    Raises:
        FileNotFoundError: If there is none.
    """
    if choice == 'best':
        candidates = list(work_dir.glob('best_*.pth'))
        if candidates:
            return max(candidates, key=lambda path: path.stat().st_mtime_ns)
        raise FileNotFoundError(
            f'{work_dir} has no best checkpoint; the config has to validate and to set '
            'default_hooks.checkpoint.save_best, or take --checkpoint last'
        )
    pointer = work_dir / 'last_checkpoint'
    if pointer.is_file():
        # The folder may have moved since, so the name counts and not the path.
        checkpoint = work_dir / Path(pointer.read_text(encoding='utf-8').strip()).name
        if checkpoint.is_file():
            return checkpoint
    raise FileNotFoundError(f'{work_dir} has no last checkpoint, although the training has ended')


def read_test(folder: Path) -> tuple[dict[str, float], list[str]]:
    """Return metrics and protocols (name and fingerprint) of the newest test below a folder.

    A metric without a value, such as that of an empty distance range, is left out.

    Raises:
        FileNotFoundError: If there is no result.
        ValueError: If the result cannot be read.
    """
    # Folders and files of tests are called by their time stamps.
    paths = [path for path in folder.glob('*/*.json') if path.stem == path.parent.name]
    if not paths:
        raise FileNotFoundError(f'{folder} has no metrics, although the test has ended')
    newest = max(paths)
    metrics = {}
    for name, value in json.loads(newest.read_text(encoding='utf-8')).items():
        if name not in _TIMES and isinstance(value, int | float) and math.isfinite(value):
            metrics[name] = float(value)
    protocols = []
    for path in sorted(newest.parent.glob('protocol*.json')):
        protocol = json.loads(path.read_text(encoding='utf-8'))
        protocols.append(f'{protocol["name"]} {protocol["fingerprint"]}')
    return metrics, protocols


def last_error_line(path: Path) -> str:
    """Return the last line of a log that starts with ``error:``, or else its last line."""
    lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    for line in reversed(lines):
        if line.startswith('error:'):
            return line
    return lines[-1] if lines else ''


def write_slurm_script(
    plan: SweepPlan,
    *,
    options: Sequence[str] = (),
    jobs: int = 1,
    checkpoint: str = 'last',
    program: Sequence[str] | None = None,
) -> Path:
    """Write a Slurm array script with one task a run, and the settings that it reads.

    Args:
        plan: The sweep.
        options: Of sbatch, as ``name=value`` or ``name``, such as ``partition=gpu``.
        jobs: Tasks at the same time.
        checkpoint: See :class:`SweepRunner`.
        program: Command of the ``depth`` program; by default that of this Python.

    Returns:
        Path of the script, ``sweep.sbatch`` in the work dir of the sweep.

    Raises:
        ValueError: If an option is empty, has a line break or belongs to the script.
    """
    work_dir = plan.work_dir.absolute()
    command = [*(program or PROGRAM), 'sweep', plan.config, '--work-dir', str(work_dir)]
    # A list of its own: the numbers of the tasks must not move when the grid is changed later.
    if plan.settings != ((),):
        settings_file = work_dir / 'settings.txt'
        write_settings(settings_file, plan.settings)
        command += ['--list', str(settings_file)]
    command += ['--seeds', *map(str, plan.seeds), '--checkpoint', checkpoint]
    # SIGTERM two minutes before the end of the allocation, for a last checkpoint.
    settings = {'signal': 'B:TERM@120', 'output': str(work_dir / 'slurm_%A_%a.log')}
    for option in options:
        name, _, value = option.lstrip('-').partition('=')
        if not name or name == 'array' or '\n' in option:
            raise ValueError(
                f'--slurm takes options of sbatch as NAME=VALUE, not array, got {option!r}'
            )
        settings[name] = value
    lines = ['#!/bin/bash', f'#SBATCH --array=0-{len(plan.runs) - 1}%{jobs}']
    for name, value in settings.items():
        lines.append(f'#SBATCH --{name}={value}' if value else f'#SBATCH --{name}')
    lines += [
        f'cd {shlex.quote(os.getcwd())}',
        f'exec {shlex.join(command)} --task "$SLURM_ARRAY_TASK_ID"',
        '',
    ]
    path = work_dir / 'sweep.sbatch'
    write_atomically(path, '\n'.join(lines))
    return path
