"""Mixed precision, on GPUs as mmengine does it and in bfloat16 on CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper as MMAmpOptimWrapper
from torch import nn

from depth.registry import OPTIM_WRAPPERS

from .plain import DeferredGradNorm, OptimWrapper


class CUDAAmpOptimWrapper(DeferredGradNorm, MMAmpOptimWrapper):
    """mmengine's ``AmpOptimWrapper``; arguments as there."""


class CPUAmpOptimWrapper(OptimWrapper):
    """bfloat16 autocast on the CPU; it needs no loss scaling."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass in bfloat16 where that is safe."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module()
def AmpOptimWrapper(dtype: str | None = None, loss_scale: str | float | dict = 'dynamic', **kwargs) -> OptimWrapper:
    """Build the mixed-precision wrapper that fits the machine.

    Args:
        dtype: ``'float16'`` (the default on CUDA) or ``'bfloat16'`` (the only one on CPU).
        loss_scale: Loss scaling for float16; bfloat16 has float32's range and takes none, which spares a wait for the
            device in every iteration.
        **kwargs: Arguments of mmengine's ``OptimWrapper``.
    """
    if torch.cuda.is_available():
        if dtype == 'bfloat16':
            loss_scale = dict(enabled=False)
        return CUDAAmpOptimWrapper(dtype=dtype, loss_scale=loss_scale, **kwargs)
    if dtype != 'bfloat16':
        print_log('mixed precision on the CPU is bfloat16', logger='current')
    return CPUAmpOptimWrapper(**kwargs)
