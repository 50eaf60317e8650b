"""Message hub whose logged values stay on the GPU until they are read."""

from collections import OrderedDict

import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor


class DeferredMessageHub(MessageHub):
    """mmengine's message hub, without a synchronisation of the GPU for every value.

    mmengine turns each loss and the gradient norm into a number in every iteration, and each time
    the host waits for the GPU. Here a value on a GPU is stored as a tensor, and all of them are
    fetched in one transfer when the log, a checkpoint or a hook reads a history: the same numbers
    in the same order, with one wait per log line.
    """

    KEPT_ON = ('cuda',)  # device types whose values are deferred
    MAX_WAITING = 4096  # bounds the memory where the log is hardly ever written

    def __init__(self, name: str, **kwargs) -> None:
        self._waiting: list[tuple[str, Tensor, int, bool]] = []
        super().__init__(name, **kwargs)

    def update_scalar(
        self, key: str, value: float | Tensor, count: int = 1, resumed: bool = True
    ) -> None:
        """Add a value to the history of ``key``, from a device when histories are next read."""
        if (
            not isinstance(value, Tensor)
            or value.device.type not in self.KEPT_ON
            or value.numel() != 1
        ):
            if any(waiting[0] == key for waiting in self._waiting):
                self._fetch()
            super().update_scalar(key, value, count, resumed)
            return
        # A copy, because the next iteration may change the tensor in place.
        self._waiting.append((key, value.detach().reshape(()).float().clone(), count, resumed))
        if len(self._waiting) >= self.MAX_WAITING:
            self._fetch()

    def _fetch(self) -> None:
        """Add the deferred values to their histories."""
        waiting = self._waiting
        self._waiting = []
        if not waiting:
            return
        numbers = torch.stack([value for _, value, _, _ in waiting]).tolist()
        for (key, _, count, resumed), number in zip(waiting, numbers, strict=True):
            super().update_scalar(key, number, count, resumed)

    @property
    def log_scalars(self) -> OrderedDict:
        """Return the history of every key."""
        self._fetch()
        return super().log_scalars

    def get_scalar(self, key: str) -> HistoryBuffer:
        """Return the history of ``key``."""
        self._fetch()
        return super().get_scalar(key)

    def state_dict(self) -> dict:
        """Return histories and info as a checkpoint stores them."""
        self._fetch()
        return super().state_dict()

    def load_state_dict(self, state_dict: MessageHub | dict) -> None:
        """Restore histories and info from a checkpoint."""
        self._fetch()
        super().load_state_dict(state_dict)


# mmengine looks the current hub up in this dict of its own class, so both classes share it.
DeferredMessageHub._instance_dict = MessageHub._instance_dict
