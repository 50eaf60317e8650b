"""Losses that change with the runner's iteration."""

from abc import ABC, abstractmethod

from mmengine.logging import MessageHub


class FollowsIteration(ABC):
    """Mix-in for losses that change with the runner's iteration.

    :meth:`follow_iteration` sets plain attributes, which ``forward`` reads. The runner calls it in
    front of a compiled step; the lock of mmengine's message hub cannot be part of a graph.
    """

    @abstractmethod
    def follow_iteration(self) -> None:
        """Set the attributes for the present iteration."""


def current_iteration() -> int:
    """Return the number of finished iterations of the running training, 0 without one."""
    return MessageHub.get_current_instance().get_info('iter', 0)
