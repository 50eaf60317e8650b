"""Logged values that stay on the device until somebody looks at them."""

from collections import OrderedDict

import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor


class DeferredMessageHub(MessageHub):
    """mmengine's message hub, without a wait for the device at every value.

    mmengine turns each loss and the gradient norm into a number in every iteration, and each time the host waits until
    the GPU has caught up. Here a value on a device is kept as it is, and all of them are fetched in one transfer when
    the log, a checkpoint or a hook asks: the same numbers in the same order, one wait a log line.
    """

    KEPT_ON = ('cuda',)  # types of the devices whose values wait
    MOST = 4096  # values that wait at most, for logs that are hardly ever written

    def __init__(self, name: str, **kwargs) -> None:
        self._waiting: list[tuple[str, Tensor, int, bool]] = []
        super().__init__(name, **kwargs)

    def update_scalar(self, key: str, value: float | Tensor, count: int = 1, resumed: bool = True) -> None:
        """Add one value to the history of ``key``; a value on a device is added when histories are next read."""
        if not isinstance(value, Tensor) or value.device.type not in self.KEPT_ON or value.numel() != 1:
            if any(waiting[0] == key for waiting in self._waiting):
                self._fetch()
            super().update_scalar(key, value, count, resumed)
            return
        # The tensor itself may be changed in place by the next iteration, a copy on the device is not.
        self._waiting.append((key, value.detach().reshape(()).float().clone(), count, resumed))
        if len(self._waiting) >= self.MOST:
            self._fetch()

    def _fetch(self) -> None:
        waiting, self._waiting = self._waiting, []
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
        """Return what a checkpoint stores."""
        self._fetch()
        return super().state_dict()

    def load_state_dict(self, state_dict: MessageHub | dict) -> None:
        """Continue from what a checkpoint stores."""
        self._fetch()
        super().load_state_dict(state_dict)


# mmengine finds the current hub through this dict of its own class; here both classes share it.
DeferredMessageHub._instance_dict = MessageHub._instance_dict
