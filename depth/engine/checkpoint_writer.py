"""Writing of checkpoints, at once or in a thread while the training goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class CheckpointWriter:
    """Runner's writer of checkpoint files, with at most one write at a time.

    With ``asynchronous``, the caller copies what it wants to save, and a thread writes the copy. A
    failed write is raised by the next call of any method, in the thread of the training.

    Args:
        asynchronous: Write in a thread.
    """

    def __init__(self, asynchronous: bool = False) -> None:
        self.asynchronous = asynchronous
        self._executor: ThreadPoolExecutor | None = None
        self._write: Future | None = None
        self._following: list[Callable[[], None]] = []

    @property
    def is_busy(self) -> bool:
        """Whether a write is going on."""
        return self._write is not None and not self._write.done()

    def submit(self, write: Callable[[], None]) -> None:
        """Write, or begin to, after the write before has ended.

        Args:
            write: Writes one checkpoint from data that nobody changes.
        """
        self.wait()
        if not self.asynchronous:
            write()
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix='checkpoint')
        self._write = self._executor.submit(write)

    def then(self, action: Callable[[], None]) -> None:
        """Do something once the last write has succeeded, in the thread of the training."""
        if self._write is None:
            action()
        else:
            self._following.append(action)

    def collect(self) -> None:
        """Finish a write that has ended, without waiting for one that has not.

        Raises:
            OSError: If the write failed.
        """
        if self._write is not None and self._write.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the write that is going on.

        Raises:
            OSError: If the write failed.
        """
        if self._write is None:
            return
        write, following = self._write, self._following
        self._write, self._following = None, []
        write.result()
        for action in following:
            action()

    def close(self) -> None:
        """Wait for the last write and end the thread.

        Raises:
            OSError: If the write failed.
        """
        try:
            self.wait()
        finally:
            if self._executor is not None:
                self._executor.shutdown()
                self._executor = None
