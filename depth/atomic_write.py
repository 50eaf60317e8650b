"""Atomic file output: a file is replaced as a whole or not at all."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_SUFFIX = '.tmp'
_MAX_NAME = 200  # bytes of the name in a temporary one; file systems allow 255


class WriteError(OSError):
    """A file that could not be written; the message names it, ``errno`` is that of the system."""


@contextlib.contextmanager
def atomic_open(
    path: str | Path, mode: str = 'wb', durable: bool = True, **options
) -> Iterator[IO]:
    """Open a temporary file that is renamed to ``path`` when the block ends without an error.

    Args:
        path: Path of the file; missing folders are created.
        mode: ``'wb'`` or ``'w'``.
        durable: Wait until the disk has the content. Without it a file whose machine loses power
            soon after may hold anything; for files that are checked and can be made again.
        **options: As for the builtin ``open``, such as ``encoding``.

    Yields:
        The open file.

    Raises:
        WriteError: If the file cannot be written. The message names the path and the free space;
            the temporary file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f'.{_short_name(path.name)}.{os.getpid()}{_SUFFIX}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open(mode, **options) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except WriteError:  # of another file that was to be written inside the block
        _remove(temporary)
        raise
    except OSError as error:
        _remove(temporary)
        raise write_error(path, error) from error
    except BaseException:
        _remove(temporary)
        raise


def _short_name(name: str) -> str:
    """Return a file name, of which a digest stands for the end if it is long."""
    content = name.encode()
    if len(content) <= _MAX_NAME:
        return name
    # Two long names of one beginning, such as a map and its side-car, may be open at once.
    digest = hashlib.sha256(content).hexdigest()[:16]
    return content[: _MAX_NAME - len(digest)].decode(errors='ignore') + digest


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, through :func:`atomic_open`."""
    data = content.encode('utf-8') if isinstance(content, str) else content
    with atomic_open(path) as file:
        file.write(data)


def write_error(path: str | Path, error: OSError) -> WriteError:
    """Return the error of a file that could not be written: its name, reason and free space."""
    named = WriteError(
        f'{path} could not be written: {error.strerror or error} ({free_space(path)})'
    )
    named.errno = error.errno
    return named


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Remove temporary files of killed processes directly in ``folder``, and return their paths.

    Files of a process that runs on this machine stay. Call it only while no process of another
    machine writes to the folder.
    """
    leftovers = [
        path for path in sorted(Path(folder).glob(f'.*.*{_SUFFIX}')) if not _is_written_now(path)
    ]
    for path in leftovers:
        _remove(path)
    return leftovers


def free_space(path: str | Path) -> str:
    """Return the free space of the disk that holds ``path``, as text."""
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    return f'{shutil.disk_usage(folder).free / 1e6:.1f} MB free on the disk of {folder}'


def _is_written_now(temporary: Path) -> bool:
    """Return whether the process whose id a temporary file's name contains is running."""
    number = temporary.name.removesuffix(_SUFFIX).rpartition('.')[2]
    if not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
