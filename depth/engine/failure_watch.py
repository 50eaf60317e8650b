"""End of all processes of a distributed training soon after one of them has failed.

A process that waits for another in a collective operation does not notice that the other is gone:
with NCCL it waits 10 minutes, and a signal cannot interrupt it. Here each process has a thread that
writes a sign of life into the store of the process group and reads those of the others. After a
failure, or when a sign stays out, it names the process that failed first and ends its own process.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from torch import distributed as dist

INTERVAL = 1.0  # seconds between two signs of life
SILENCE = 15.0  # seconds without one after which a process counts as gone
GRACE = 10.0  # seconds after another's error in which a process may end by an error of its own
EXIT_CODE = 1
_FAILURE, _COUNT, _SIGN, _END = 'failure', 'failures', 'sign', 'end'


class FailureWatch:
    """Thread that ends this process when another one of the group has failed.

    Args:
        store: Store of all processes, such as a ``TCPStore``; with a connection of its own.
        rank: Number of this process.
        size: Number of processes.
        leave: Called with the exit code when another process has failed; it must not return to a
            thread that waits in a collective operation, so the default ends the process at once.
        interval: Seconds between two signs of life.
        silence: Seconds without a sign of a process after which it counts as gone.
        grace: Seconds after the report of an error in which this process may end by itself: often
            all processes fail together, and one of them still writes what it has found.
    """

    def __init__(
        self,
        store: dist.Store,
        rank: int,
        size: int,
        leave: Callable[[int], None] = os._exit,
        interval: float = INTERVAL,
        silence: float = SILENCE,
        grace: float = GRACE,
    ) -> None:
        self.store, self.rank, self.size = store, rank, size
        self.leave, self.interval = leave, interval
        self.silence, self.grace = silence, grace
        self._ended = threading.Event()
        self._last_sign = (b'', 0.0)  # of the next process, and when it came
        self._thread = threading.Thread(target=self._watch, name='failure watch', daemon=True)

    def start(self) -> 'FailureWatch':
        """Begin to give signs of life and to look for those of the others."""
        self.store.set(f'{_SIGN}{self.rank}', '0')
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; the others see that this process has finished its work."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        self._try(lambda: self.store.set(f'{_END}{self.rank}', ''))
        if self.rank == 0:  # the store ends with its process, and the others still use it
            ends = [f'{_END}{rank}' for rank in range(self.size)]
            self._try(lambda: self.store.wait(ends, timedelta(seconds=2 * self.silence)))

    def report(self, message: str) -> None:
        """Tell the others that this process has failed; they print the first report.

        Args:
            message: The error, as the log shows it.
        """
        self._ended.set()

        def send() -> None:
            if self.store.add(_COUNT, 1) == 1:
                self.store.set(_FAILURE, f'process {self.rank} failed first: {message}')

        self._try(send)
        if self.rank == 0:  # the store ends with its process: the others have to read it before
            time.sleep(3 * self.interval)

    @staticmethod
    def _try(action: Callable[[], None]) -> None:
        """Use the store, unless it has gone with its process."""
        with suppress(RuntimeError):  # torch's errors of a connection, and of its timeout
            action()

    def _watch(self) -> None:
        # Each process watches over the next one alone, so that many processes ask the store little.
        count = 0
        while not self._ended.wait(self.interval):
            count += 1
            try:
                self.store.set(f'{_SIGN}{self.rank}', str(count))
                message = self._find_silence()
                if message is not None and self.store.add(_COUNT, 1) == 1:
                    self.store.set(_FAILURE, message)
                if self.store.check([_FAILURE]):
                    message = self.store.get(_FAILURE).decode()
                    self._ended.wait(self.grace)
            except RuntimeError:
                message = 'the process that holds the store (the first one, or torchrun) is gone'
                self._ended.wait(self.interval)
            if message is not None and not self._ended.is_set():
                self._leave(message)
                return

    def _find_silence(self) -> str | None:
        """Return in words that the next process is silent, None if it is not."""
        rank = (self.rank + 1) % self.size
        if not self.store.check([f'{_SIGN}{rank}']):
            return None  # it has not begun to watch yet
        now, (previous, since) = time.monotonic(), self._last_sign
        sign = self.store.get(f'{_SIGN}{rank}')
        if sign != previous:
            self._last_sign = (sign, now)
        elif now - since > self.silence and not self.store.check([f'{_END}{rank}']):
            return (
                f'process {rank} failed first: no sign of life for {self.silence:.0f} s; it was '
                'killed (out of memory?), or its machine is gone'
            )
        return None

    def _leave(self, message: str) -> None:
        print(f'error: process {self.rank} ends because {message}', file=sys.stderr, flush=True)
        sys.stdout.flush()
        self.leave(EXIT_CODE)


def watch_processes() -> FailureWatch | None:
    """Start the watch of a distributed run; None in a single process.

    It takes a connection of its own to the store whose address the launcher gives.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1 or 'MASTER_PORT' not in os.environ:
        return None
    store = dist.TCPStore(
        os.environ['MASTER_ADDR'],
        int(os.environ['MASTER_PORT']),
        is_master=False,
        timeout=timedelta(seconds=30),
    )
    # After a restart by torchrun the store still holds what the processes before have written.
    attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
    job = os.environ.get('SLURM_RESTART_COUNT', '0')
    store = dist.PrefixStore(f'depth_failures/{attempt}_{job}', store)
    return FailureWatch(store, dist.get_rank(), dist.get_world_size()).start()


@contextmanager
def watched_processes() -> Iterator[None]:
    """Watch over the other processes within the block, and tell them of an error in it."""
    watch = watch_processes()
    if watch is None:
        yield
        return
    try:
        yield
    except Exception as error:
        watch.report(str(error) or type(error).__name__)
        raise
    finally:
        watch.stop()
