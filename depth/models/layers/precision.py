"""Parts of a network that compute in full precision under autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context that turns autocast off on a device.

    The meta device, on which operations are counted, knows no autocast; there it does nothing.
    """
    return nullcontext() if device.type == 'meta' else torch.autocast(device.type, enabled=False)
