"""Transfer of shards from a folder, a web server or an object store, whatever the connection does.

A file counts as received when it has the size of the index and, if asked for, its SHA-256; damage
also shows when the content is used. A transfer that breaks off, stalls or brings other bytes than
announced continues where it was, or begins again, after a pause that doubles each time.
"""

import hashlib
import http.client
import logging
import os
import queue
import random
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from mmengine.logging import print_log

from .optional_imports import import_optional
from .shard_http import HttpBody, Interrupted, reason_of
from .shards import Shard, ShardError

AGENT = 'depth-toolbox'
RANGE = 1 << 23  # bytes of a request to an object store
PROGRESS = 1 << 20  # an attempt that brought so many bytes does not count as a failure
LONGEST_WAIT = 60.0  # seconds
# Waiting times must not draw from the generators that a training depends on.
_random = random.SystemRandom()


def open_store(
    url: str | Path,
    options: dict | None = None,
    timeout: float = 30.0,
    retries: int = 5,
    wait: float = 1.0,
    check_hash: bool = False,
) -> 'ShardStore':
    """Return the store that an address names.

    Args:
        url: Folder, ``file://``, ``http://`` or ``https://``, or any other address that fsspec
            knows, such as ``s3://bucket/folder``.
        options: For a web server ``headers``; for others the options of fsspec's file system, such
            as ``endpoint_url`` or ``anon``.
        timeout: Seconds without an answer, or with fewer than 64 KiB of data, that end an attempt.
        retries: Attempts after the first one; those that bring at least 1 MiB do not count.
        wait: Seconds before the first new attempt, doubled each time up to a minute.
        check_hash: Compare the SHA-256 of every shard that was fetched with the index.

    Raises:
        ValueError: If an option makes no sense.
    """
    if not (timeout > 0 and retries >= 0 and wait >= 0):
        raise ValueError(
            f'shards at {public_name(url)}: need timeout > 0, retries >= 0 and wait >= 0, got '
            f'{timeout}, {retries} and {wait}'
        )
    text = str(url)
    scheme = text.partition('://')[0] if '://' in text else 'file'
    patience = dict(timeout=timeout, retries=retries, wait=wait, check_hash=check_hash)
    if scheme == 'file':
        return LocalStore(text.removeprefix('file://'), **patience)
    if scheme in ('http', 'https'):
        return HttpStore(text, options or {}, **patience)
    return FsspecStore(text, options or {}, **patience)


def public_name(url: str | Path) -> str:
    """Return an address without a password or signature, for messages."""
    text = str(url)
    if '://' not in text:
        return text
    address = urllib.parse.urlsplit(text)
    host = address.netloc.rpartition('@')[2]
    return f'{address.scheme}://{host}{address.path}'


class ShardStore:
    """Files of one folder; subclasses open a stream of bytes.

    Attributes:
        url: Address of the folder.
        is_local: Whether the files are on a disk and are read in place.
    """

    is_local = False

    def __init__(
        self, url: str, timeout: float, retries: int, wait: float, check_hash: bool = False
    ) -> None:
        self.url = url.rstrip('/')
        self.timeout, self.retries, self.wait = timeout, retries, wait
        self.check_hash = check_hash

    def name_of(self, name: str) -> str:
        """Return the address of a file, for messages."""
        return f'{public_name(self.url)}/{name}'

    def stream(self, name: str, start: int) -> tuple[int, Iterable[bytes]]:
        """Begin to read a file.

        Args:
            name: The file.
            start: First byte that is needed.

        Returns:
            The first byte that comes (``start``, or 0 where the server continues no transfer), and
            the content from there.

        Raises:
            Interrupted: If it cannot be read, now or later.
        """
        raise NotImplementedError

    def read(self, name: str, limit: int, parse: Callable[[bytes], object]) -> object:
        """Read and parse a small file; one that cannot be parsed counts as cut off.

        Raises:
            ShardError: If that fails each time, or the file is larger than ``limit`` bytes.
        """

        def attempt() -> object:
            content = bytearray()
            for chunk in self.stream(name, 0)[1]:
                content += chunk
                if len(content) > limit:
                    raise Interrupted(f'it has more than the {limit} bytes of an index')
            try:
                return parse(bytes(content))
            except ValueError as error:
                raise Interrupted(str(error)) from error

        return self._retry(name, attempt, lambda: 0)

    def fetch(self, shard: Shard, file: IO[bytes]) -> None:
        """Write a shard to an open file; size, and hash if it is checked, are those of the index.

        Raises:
            ShardError: If that fails each time.
            OSError: If the file cannot be written.
        """
        transfer = _Transfer(self, shard, file)
        self._retry(shard.name, transfer.run, lambda: transfer.received)

    def _retry(
        self, name: str, attempt: Callable[[], object], progress: Callable[[], int]
    ) -> object:
        """Return the result of an attempt that is repeated while it is interrupted.

        Args:
            name: The file.
            attempt: Function that may raise :class:`Interrupted`.
            progress: Returns the bytes that the attempts have brought so far.
        """
        failures = 0
        while True:
            before = progress()
            try:
                return attempt()
            except Interrupted as error:
                reason = error
            if progress() - before >= PROGRESS:
                failures = 0
            failures += 1
            if failures > self.retries:
                raise ShardError(
                    f'{self.name_of(name)} could not be read in {failures} attempts: {reason}'
                ) from reason
            self.pause(f'{self.name_of(name)}: {reason}', failures)

    def pause(self, problem: str, failures: int) -> None:
        """Log a problem and wait before the next attempt, longer after each failure."""
        seconds = min(self.wait * 2 ** (failures - 1), LONGEST_WAIT)
        # Half of it at random: the processes of a job must not all come back at once.
        seconds *= _random.uniform(0.5, 1.0)
        print_log(
            f'{problem}; attempt {failures + 1} of {self.retries + 1} in {seconds:.1f} s',
            logger='current',
            level=logging.WARNING,
        )
        time.sleep(seconds)


class _Transfer:
    """A shard on its way into a file, over as many connections as it takes."""

    def __init__(self, store: ShardStore, shard: Shard, file: IO[bytes]) -> None:
        self.store, self.shard, self.file = store, shard, file
        self.restart()

    def restart(self) -> None:
        """Forget what has come."""
        self.file.seek(0)
        self.received, self.hash = 0, hashlib.sha256()

    def run(self) -> None:
        """Receive what is missing, and check it."""
        size = self.shard.size
        start, body = self.store.stream(self.shard.name, self.received)
        if start != self.received:
            self.restart()
        if start not in (0, self.received):
            raise Interrupted(f'the server continued at byte {start}, another one than asked for')
        for count in self._store(body):
            self.received += count
            if self.received == size:
                break
        if self.received < size:
            raise Interrupted(f'{self.received} of {size} bytes came')
        digest = self.hash.hexdigest()
        if self.store.check_hash and digest != self.shard.sha256:
            self.restart()
            raise Interrupted(f'its SHA-256 is {digest}, the index says {self.shard.sha256}')

    def _store(self, body: Iterable[bytes]) -> Iterator[int]:
        """Write what comes, up to the size of the shard, and yield the bytes of each write."""
        if isinstance(body, HttpBody) and body.is_movable and not self.store.check_hash:
            yield from body.move(self.file, self.shard.size - self.received)
            return
        for chunk in body:
            # Bytes beyond the size are not stored: the hash tells whether those before are right.
            content = chunk[: self.shard.size - self.received]
            self.file.write(content)
            if self.store.check_hash:
                self.hash.update(content)
            yield len(content)


class LocalStore(ShardStore):
    """Folder on a disk, whose shards are read in place."""

    is_local = True

    def open(self, shard: Shard) -> int:
        """Return a descriptor of a shard that has the size of the index.

        Raises:
            ShardError: If it is missing or has another size, each time.
        """
        path = Path(self.url, shard.name)

        def attempt() -> int:
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise Interrupted(error.strerror or str(error)) from error
            size = os.fstat(descriptor).st_size
            if size != shard.size:
                os.close(descriptor)
                raise Interrupted(f'it has {size} bytes, the index says {shard.size}')
            return descriptor

        return self._retry(shard.name, attempt, lambda: 0)

    def read(self, name: str, limit: int, parse: Callable[[bytes], object]) -> object:
        """Read and parse a small file; that there is none is an error at once.

        Raises:
            FileNotFoundError: If there is none.
            ShardError: If it cannot be read or parsed.
        """
        path = Path(self.url, name)
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist; depth pack --format wds writes shards')
        return super().read(name, limit, parse)

    def stream(self, name: str, start: int) -> tuple[int, Iterable[bytes]]:
        """Return the content of a small file.

        Raises:
            Interrupted: If it cannot be read.
        """
        try:
            return 0, iter([Path(self.url, name).read_bytes()])
        except OSError as error:
            raise Interrupted(error.strerror or str(error)) from error


class HttpStore(ShardStore):
    """Folder of a web server; transfers continue with range requests.

    Args:
        url: Address of the folder.
        options: ``headers`` of every request, such as an authorization.
        timeout: See :func:`open_store`.
        retries: See :func:`open_store`.
        wait: See :func:`open_store`.
        check_hash: See :func:`open_store`.

    Raises:
        ValueError: If there are other options.
    """

    def __init__(
        self,
        url: str,
        options: dict,
        timeout: float,
        retries: int,
        wait: float,
        check_hash: bool = False,
    ) -> None:
        super().__init__(url, timeout, retries, wait, check_hash)
        unknown = set(options) - {'headers'}
        if unknown:
            raise ValueError(
                f'storage_options of a web server are headers alone, got {sorted(unknown)}'
            )
        # No compression: ranges and sizes are those of the file.
        self.headers = {'User-Agent': AGENT, 'Accept-Encoding': 'identity'}
        self.headers.update(options.get('headers') or {})

    def stream(self, name: str, start: int) -> tuple[int, Iterable[bytes]]:
        """Ask for a file from a byte on.

        Raises:
            Interrupted: If the server does not give it.
        """
        headers = dict(self.headers)
        if start:
            headers['Range'] = f'bytes={start}-'
        request = urllib.request.Request(f'{self.url}/{name}', headers=headers)
        try:
            answer = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            error.close()
            # 416, range not satisfiable: the file is shorter there than what has come of it.
            if error.code == 416:
                return 0, iter(())
            raise Interrupted(f'the server answers {error.code} {error.reason}') from error
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(reason_of(error)) from error
        first = 0
        if answer.status == 206:  # partial content; 200 brings the file from its beginning
            span = re.match(r'bytes (\d+)-', answer.headers.get('Content-Range', ''))
            first = int(span.group(1)) if span else -1
        return first, HttpBody(answer, self.timeout)


class FsspecStore(ShardStore):
    """Folder of a store that fsspec knows: S3 and what speaks its protocol, Google, Azure, ...

    Args:
        url: Address of the folder.
        options: Of the file system.
        timeout: See :func:`open_store`.
        retries: See :func:`open_store`.
        wait: See :func:`open_store`.
        check_hash: See :func:`open_store`.

    Raises:
        ImportError: If fsspec or the library of the protocol is not installed.
        ValueError: If fsspec does not know the protocol.
    """

    def __init__(
        self,
        url: str,
        options: dict,
        timeout: float,
        retries: int,
        wait: float,
        check_hash: bool = False,
    ) -> None:
        super().__init__(url, timeout, retries, wait, check_hash)
        self.options = dict(options)
        self._of_process: tuple[int, object, str] | None = None
        self._file_system()

    def stream(self, name: str, start: int) -> tuple[int, Iterable[bytes]]:
        """Read a file range by range."""
        return start, self._ranges(name, start)

    def _ranges(self, name: str, start: int) -> Iterator[bytes]:
        while True:
            chunk = self._read_range(name, start)
            if chunk:
                yield chunk
            if len(chunk) < RANGE:
                return
            start += len(chunk)

    def _read_range(self, name: str, start: int) -> bytes:
        """Return up to ``RANGE`` bytes of a file, fewer where it ends."""
        answers: queue.SimpleQueue = queue.SimpleQueue()

        def read() -> None:
            # Every library raises errors of its own kind, so that only Exception covers them.
            try:
                file_system, folder = self._file_system()
                end = start + RANGE
                answers.put(file_system.cat_file(f'{folder}/{name}', start=start, end=end))
            except Exception as error:
                answers.put(error)

        # Not all file systems have a time limit; a thread can be left behind.
        threading.Thread(target=read, name='shard-range', daemon=True).start()
        try:
            answer = answers.get(timeout=self.timeout)
        except queue.Empty:
            raise Interrupted(f'no answer in {self.timeout:g} s') from None
        if isinstance(answer, Exception):
            raise Interrupted(reason_of(answer)) from answer
        return answer

    def _file_system(self) -> tuple[object, str]:
        """Return fsspec's file system of this process, and the folder in it."""
        # Connections and event loops do not survive a fork.
        if self._of_process is None or self._of_process[0] != os.getpid():
            fsspec = import_optional('fsspec', f'shards at {public_name(self.url)}', extra='shards')
            options = dict(self.options, skip_instance_cache=True)
            file_system, folder = fsspec.core.url_to_fs(self.url, **options)
            self._of_process = (os.getpid(), file_system, folder)
        return self._of_process[1:]

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _of_process=None)
