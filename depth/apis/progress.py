"""Progress line of inference: rate and remaining time."""

import sys
import time
from typing import TextIO


class ThroughputLine:
    """Line with the number of processed images, the rate and the remaining time.

    On a terminal the line is replaced twice a second; elsewhere, as in the log of a job, a new one
    is written every ten seconds.

    Args:
        total: Number of images, None if it is unknown.
        stream: Receives the lines; standard error by default.
    """

    def __init__(self, total: int | None = None, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = sys.stderr if stream is None else stream
        self.count = 0
        self.start = self.written = time.perf_counter()
        self.interval = 0.5 if self.stream.isatty() else 10.0

    def add(self, count: int = 1) -> None:
        """Count processed images, and write the line if its time has come."""
        self.count += count
        now = time.perf_counter()
        if now - self.written >= self.interval:
            self.written = now
            end = '\r' if self.stream.isatty() else '\n'
            self.stream.write(self.text(now) + end)
            self.stream.flush()

    def close(self) -> None:
        """Write the line of the whole run."""
        seconds = time.perf_counter() - self.start
        rate = self.count / max(seconds, 1e-9)
        self.stream.write(
            f'{self.count} images in {_clock(seconds)}, {rate:.2f} images/s{" " * 20}'.rstrip()
            + '\n'
        )
        self.stream.flush()

    def text(self, now: float) -> str:
        """Return the line at a time of ``time.perf_counter``."""
        rate = self.count / max(now - self.start, 1e-9)
        if self.total is None:
            return f'{self.count} images, {rate:.2f} images/s'
        remaining = (self.total - self.count) / max(rate, 1e-9)
        return f'{self.count}/{self.total} images, {rate:.2f} images/s, ETA {_clock(remaining)}'


def _clock(seconds: float) -> str:
    """Return a duration as ``M:SS`` or ``H:MM:SS``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
