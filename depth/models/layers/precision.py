"""Full precision under autocast, for layers that need it."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context manager that disables autocast on a device.

    The meta device, on which operations are counted, has no autocast; there the context does
    nothing.
    """
    return nullcontext() if device.type == 'meta' else torch.autocast(device.type, enabled=False)
