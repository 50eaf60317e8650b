"""Content that a web server sends: read, or moved into a file without a copy in this process."""

import contextlib
import errno
import fcntl
import http.client
import os
import select
import socket
import time
from collections.abc import Iterator
from typing import IO

CHUNK = 1 << 20  # bytes read from a connection at once, at most
# Bytes of a connection for which a thread is woken; fewer at the end or after a timeout.
WAKE = 1 << 18
SLOWEST = 1 << 16  # bytes in `timeout` seconds; a slower connection stalls


class Interrupted(Exception):
    """A transfer that did not bring what it should; the message says why."""


class HttpBody:
    """Content of an answer: an iterator of bytes, which may be moved into a file instead.

    Args:
        answer: Answer whose headers were read.
        timeout: Seconds without data that end the transfer.
    """

    def __init__(self, answer: http.client.HTTPResponse, timeout: float) -> None:
        self.answer, self.timeout = answer, timeout

    @property
    def is_movable(self) -> bool:
        """Whether the kernel can move the content: what the socket gives is what the file gets."""
        return (
            hasattr(os, 'splice')
            and self.answer.url.startswith('http:')
            and not self.answer.chunked
        )

    def __iter__(self) -> Iterator[bytes]:
        pace = _Pace(self.timeout)
        with self.answer:
            while True:
                try:
                    chunk = self.answer.read1(CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    raise Interrupted(reason_of(error)) from error
                if not chunk:
                    return
                yield chunk
                pace.add(len(chunk))

    def _buffered(self) -> bytes:
        """Return the content that has been received already; a part of it if there is none yet."""
        try:
            return self.answer.fp.peek(1)
        except OSError as error:
            raise Interrupted(reason_of(error)) from error

    def move(self, file: IO[bytes], limit: int) -> Iterator[int]:
        """Move the content to the end of what a file has, without a copy in this process.

        Args:
            file: Open file at the place where the content belongs.
            limit: Bytes that are moved at most.

        Yields:
            Bytes that were moved, as they come.

        Raises:
            Interrupted: If the connection breaks or stalls.
            OSError: If the file cannot be written.
        """
        if self.answer.fp is None:  # an empty answer
            return
        pace = _Pace(self.timeout)
        with self.answer, _pipe() as (reader, writer):
            if self.answer.length is not None:
                limit = min(limit, self.answer.length)
            # What came together with the headers is in a buffer of this process.
            buffered = self._buffered()[:limit]
            file.write(buffered)
            file.flush()
            yield len(buffered)
            limit -= len(buffered)
            with socket.socket(fileno=os.dup(self.answer.fileno())) as connection:
                readable = select.poll()
                readable.register(connection, select.POLLIN)
                while limit:
                    # Woken for larger parts, the thread takes less time from the one that decodes.
                    least = min(limit, WAKE)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
                    is_readable = bool(readable.poll(self.timeout * 1e3))
                    try:
                        # Python has made the socket non-blocking, because it has a timeout.
                        count = os.splice(connection.fileno(), writer, min(limit, CHUNK))
                    except BlockingIOError:
                        if is_readable:
                            continue
                        raise Interrupted('timed out') from None
                    except OSError as error:
                        raise Interrupted(reason_of(error)) from error
                    if not count:
                        return
                    _empty_pipe(reader, file.fileno(), count)
                    limit -= count
                    yield count
                    pace.add(count)


class _Pace:
    """Speed of a transfer, which is interrupted when it hardly brings any bytes.

    Args:
        timeout: Seconds in which at least :data:`SLOWEST` bytes have to come.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.since, self.count = time.monotonic(), 0

    def add(self, count: int) -> None:
        """Count bytes that have come."""
        self.count += count
        now = time.monotonic()
        if now - self.since > self.timeout:
            if self.count < SLOWEST:
                raise Interrupted(f'only {self.count} bytes came in {now - self.since:.1f} s')
            self.since, self.count = now, 0


def _empty_pipe(reader: int, descriptor: int, count: int) -> None:
    """Move bytes from a pipe into a file; copy them if the file system cannot move."""
    while count:
        try:
            count -= os.splice(reader, descriptor, count)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            content = os.read(reader, count)
            count -= len(content)
            while content:
                content = content[os.write(descriptor, content) :]


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Give both ends of a pipe, reader and writer, that holds as much as the system allows."""
    reader, writer = os.pipe()
    try:
        # A user may have a limit below 1 MiB; the default of 64 KiB does as well.
        with contextlib.suppress(OSError):
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CHUNK)
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def reason_of(error: BaseException) -> str:
    """Return an error in words."""
    text = str(getattr(error, 'reason', '') or error)
    return text or type(error).__name__
