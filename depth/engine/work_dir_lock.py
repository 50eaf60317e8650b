"""Lock of a work dir: one training at a time, across processes and hosts.

The lock is a file that names its holder: host, process id and the start time of that process. A
lock whose process has ended on the same host is taken over, so nothing has to be cleaned up after
``kill -9``. A process of another host (or another container) cannot be looked up; its lock counts
as abandoned when its heartbeat, the file's modification time, is older than :data:`STALE_AFTER`.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import print_log

from depth.atomic_write import free_space

from .errors import WorkDirInUseError

LOCK_NAME = 'train.lock'
HEARTBEAT = 30.0
"""Seconds between two updates of the lock's modification time."""
STALE_AFTER = 600.0
"""Seconds without a heartbeat after which the lock of another host is taken over."""


class WorkDirLock:
    """Exclusive right of one process to train in a work dir.

    Args:
        work_dir: Existing folder.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.path = Path(work_dir, LOCK_NAME)
        self.owner = describe_process() | dict(token=secrets.token_hex(8))
        self._released = threading.Event()

    def acquire(self) -> None:
        """Take the lock and start its heartbeat.

        Raises:
            WorkDirInUseError: If another training holds it.
            OSError: If the lock cannot be written.
        """
        with _mutex(self.path.parent):
            holder = read_holder(self.path)
            if holder is not None:
                reason = abandonment(holder, self.path)
                if reason is None:
                    raise WorkDirInUseError(_refusal(self.path, holder))
                print_log(
                    f'{self.path}: the lock of {_name(holder)} is taken over: {reason}',
                    logger='current',
                )
                self.path.unlink(missing_ok=True)
            self._create()
        threading.Thread(target=self._keep_alive, name='work-dir-heartbeat', daemon=True).start()

    def check_held(self) -> None:
        """Check that no other process has taken the lock over, as happens after a long suspension.

        Raises:
            WorkDirInUseError: If another training holds it now.
        """
        holder = read_holder(self.path)
        if holder is None:
            self._create()  # the file was deleted
        elif holder.get('token') != self.owner['token']:
            raise WorkDirInUseError(
                f'{_refusal(self.path, holder)}. It took over while this run stood still; this one '
                'stops'
            )

    def release(self) -> None:
        """Remove the lock, unless another process has taken it over."""
        self._released.set()
        holder = read_holder(self.path)
        if holder is not None and holder.get('token') == self.owner['token']:
            self.path.unlink(missing_ok=True)

    def _create(self) -> None:
        """Create the lock file, or raise if there is one."""
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError as error:  # another host was faster
            raise WorkDirInUseError(_refusal(self.path, read_holder(self.path) or {})) from error
        except OSError as error:
            raise OSError(
                f'{self.path} could not be written: {error.strerror} ({free_space(self.path)})'
            ) from error
        try:
            with os.fdopen(descriptor, 'w', encoding='utf-8') as file:
                json.dump(self.owner, file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise OSError(
                f'{self.path} could not be written: {error.strerror} ({free_space(self.path)})'
            ) from error

    def _keep_alive(self) -> None:
        """Update the lock's modification time until the lock is released."""
        while not self._released.wait(HEARTBEAT):
            holder = read_holder(self.path)
            if holder is not None and holder.get('token') == self.owner['token']:
                with contextlib.suppress(OSError):
                    os.utime(self.path)


def check_free(work_dir: str | Path) -> None:
    """Check that no training holds a work dir, without taking the lock.

    Raises:
        WorkDirInUseError: If one does.
    """
    path = Path(work_dir, LOCK_NAME)
    holder = read_holder(path)
    if holder is not None and abandonment(holder, path) is None:
        raise WorkDirInUseError(_refusal(path, holder))


def describe_process() -> dict:
    """Return the identity of this process: host, boot, pid namespace, process id and start time."""
    return dict(
        host=socket.gethostname(),
        boot=_read('/proc/sys/kernel/random/boot_id'),
        namespace=_pid_namespace(),
        pid=os.getpid(),
        process_start=_process_start(os.getpid()),
        slurm_job=os.environ.get('SLURM_JOB_ID'),
        slurm_restart=int(os.environ.get('SLURM_RESTART_COUNT', '0')),
        since=time.strftime('%Y-%m-%d %H:%M:%S'),
        command=' '.join(sys.argv)[:500],
    )


def read_holder(path: Path) -> dict | None:
    """Return the content of a lock file; {} if it is unreadable, None if there is none."""
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        return {}
    try:
        holder = json.loads(text)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def abandonment(holder: dict, path: Path) -> str | None:
    """Return the reason why the holder of a lock cannot be running, None if it may be."""
    here = describe_process()
    if holder.get('host') == here['host'] and isinstance(holder.get('pid'), int):
        if holder.get('boot') != here['boot']:
            return 'the host was started anew since'
        if holder.get('namespace') == here['namespace']:
            start = _process_start(holder['pid'])
            recorded_start = holder.get('process_start')
            # Another start time: another process has got the same number since.
            is_reused = bool(start and recorded_start and start != recorded_start)
            return 'its process has ended' if start is None or is_reused else None
    job = here['slurm_job']
    restart = holder.get('slurm_restart')
    if (
        job
        and holder.get('slurm_job') == job
        and isinstance(restart, int)
        and restart < here['slurm_restart']
    ):
        return f'slurm has requeued its job {job}'
    silent = _age(path)
    return f'no heartbeat for {silent:.0f} s' if silent > STALE_AFTER else None


def _refusal(path: Path, holder: dict) -> str:
    return (
        f'{path.parent} is in use: {_name(holder)} trains there. Choose another --work-dir or end '
        'that run first. (If it is gone for certain: its lock is taken over '
        f'{STALE_AFTER / 60:.0f} minutes after its last sign of life, or at once when {path} is '
        'deleted)'
    )


def _name(holder: dict) -> str:
    if not holder:
        return 'a process that did not write its name'
    return (
        f'process {holder.get("pid")} on host {holder.get("host")} since {holder.get("since")} '
        f'({holder.get("command")})'
    )


@contextlib.contextmanager
def _mutex(folder: Path) -> Iterator[None]:
    """Exclude other processes of this host while a lock is taken or taken over."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems have no locks; O_EXCL still decides.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _age(path: Path) -> float:
    """Return the seconds since a file was modified, by the clock of its file system."""
    probe = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _process_start(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot; 0 if unknown, None if it ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # of another user; /proc may hide it
        pass
    # After the name in parentheses, which may contain spaces: state, 18 numbers, start time.
    fields = _read(f'/proc/{pid}/stat').rpartition(')')[2].split()
    if len(fields) < 20:  # a system without /proc
        return 0
    # Z and X: the process has ended and waits for its parent.
    return None if fields[0] in 'ZX' else int(fields[19])


def _pid_namespace() -> str:
    try:
        return os.readlink('/proc/self/ns/pid')
    except OSError:
        return ''


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding='utf-8').strip()
    except OSError:
        return ''
