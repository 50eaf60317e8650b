"""Cache of shards on the local disk, shared by the processes of a machine.

Files are named by the SHA-256 of their content, so that data sets may share a folder and a shard
that was written anew is another file. They appear whole: a transfer goes to a temporary file. The
least recently used files are removed when room is needed; temporary files count with their final
size, so that the limit holds at all times. Readers keep no file open between two samples, because
a removed file takes up space for as long as it is open.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from depth.atomic_write import atomic_open, remove_leftovers

SUFFIX = '.tar'
POLL = 0.05  # seconds between two looks whether another transfer has made room


class ShardCache:
    """Files of a folder whose sizes together stay below a limit.

    The folder is that of one machine: locks and temporary files name processes of this one.

    Args:
        folder: Created when it is needed.
        limit: Bytes.
    """

    def __init__(self, folder: str | Path, limit: int) -> None:
        self.folder, self.limit = Path(folder), int(limit)

    def path(self, sha256: str) -> Path:
        """Return where a file is, if it is in the cache."""
        return self.folder / f'{sha256}{SUFFIX}'

    def open(self, sha256: str, size: int, fetch: Callable[[IO[bytes]], None]) -> int:
        """Return a descriptor of a file, which is fetched if it is not in the cache.

        Of several processes that need a file one fetches it, the others wait.

        Args:
            sha256: Name of the file.
            size: Bytes.
            fetch: Writes the content to an open file.

        Raises:
            ValueError: If the file is larger than the limit.
            WriteError: If the disk does not take it.
            Exception: Whatever ``fetch`` raises.
        """
        descriptor = self._open_existing(sha256, size)
        if descriptor is not None:
            return descriptor
        if size > self.limit:
            raise ValueError(
                f'a shard of {size} bytes does not fit into the cache {self.folder}, whose limit '
                f'is {self.limit} bytes; raise cache_gb'
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        # One lock for each first byte of the hash, so that locks need not be removed.
        with self._lock(sha256[:2]):
            # Another process may have fetched it meanwhile.
            descriptor = self._open_existing(sha256, size)
            while descriptor is None:
                self._fetch(sha256, size, fetch)
                # None if another process needed the room at once.
                descriptor = self._open_existing(sha256, size)
        return descriptor

    def discard(self, sha256: str) -> None:
        """Remove a file whose content has turned out to be damaged."""
        self.path(sha256).unlink(missing_ok=True)

    def _open_existing(self, sha256: str, size: int) -> int | None:
        try:
            descriptor = os.open(self.path(sha256), os.O_RDONLY)
        except FileNotFoundError:
            return None
        if os.fstat(descriptor).st_size != size:  # of a machine that lost power
            os.close(descriptor)
            self.discard(sha256)
            return None
        # The modification time tells the last use; access times are often switched off.
        os.utime(descriptor)
        return descriptor

    def _fetch(self, sha256: str, size: int, fetch: Callable[[IO[bytes]], None]) -> None:
        # Not durable: what a power failure damages is found by its checksums and fetched again.
        with atomic_open(self.path(sha256), durable=False) as file:
            while not self._reserve(file, size):
                time.sleep(POLL)
            fetch(file)

    def _reserve(self, file: IO[bytes], size: int) -> bool:
        """Give a temporary file its final size, if there is room or old files can make room."""
        with self._lock('space'):
            remove_leftovers(self.folder)
            files = []
            for path in self.folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    files.append((status.st_mtime_ns, status.st_size, path))
            used = sum(file_size for _, file_size, _ in files)
            for _, file_size, path in sorted(files):
                if used + size <= self.limit:
                    break
                if path.suffix == SUFFIX:
                    path.unlink(missing_ok=True)
                    used -= file_size
            if used + size > self.limit:
                return False
            os.ftruncate(file.fileno(), size)
            return True

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Exclude other processes and threads."""
        descriptor = os.open(self.folder / f'.lock-{name}', os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            # A loader process that was forked meanwhile has the descriptor too, so that closing
            # it here alone would not release the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
