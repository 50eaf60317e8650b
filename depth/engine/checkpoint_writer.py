"""Writing of checkpoints, at once or in a thread while the training goes on."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor


class HostCopies:
    """Copies of tensors in host memory, which is used again for each checkpoint.

    Fresh memory costs more than the copying itself: the system clears every page of it first.
    Copies of tensors of a GPU are in page-locked memory where there is enough.
    """

    def __init__(self) -> None:
        self._copies: dict[str, Tensor] = {}

    def copy(self, name: str, tensor: Tensor) -> Tensor:
        """Return a copy of a tensor, which holds until the next one of that name is made."""
        tensor = tensor.detach()
        copy = self._copies.get(name)
        if copy is None or copy.shape != tensor.shape or copy.dtype != tensor.dtype:
            copy = self._copies[name] = _allocate_like(tensor)
        return copy.copy_(tensor)

    def clear(self) -> None:
        """Free the memory."""
        self._copies.clear()


def _allocate_like(tensor: Tensor) -> Tensor:
    if tensor.is_cuda:
        # torch's error for a host that can lock no more memory
        with contextlib.suppress(RuntimeError):
            return torch.empty_like(tensor, device='cpu', pin_memory=True)
    return torch.empty_like(tensor, device='cpu')


class CheckpointWriter:
    """Runner's writer of checkpoint files, with at most one write at a time.

    With ``asynchronous``, the caller copies what it wants to save, and a thread writes the copy. A
    failed write is raised by the next call of any method, in the thread of the training.

    Args:
        asynchronous: Write in a thread.
    """

    def __init__(self, asynchronous: bool = False) -> None:
        self.asynchronous = asynchronous
        self.copies = HostCopies()  # of what is written
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
            self.copies.clear()
            if self._executor is not None:
                self._executor.shutdown()
                self._executor = None
