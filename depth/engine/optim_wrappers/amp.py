"""Mixed precision, on GPUs as mmengine does it and in bfloat16 on CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper as MMAmpOptimWrapper
from torch import nn

from depth.registry import OPTIM_WRAPPERS

from .plain import GuardedStep, OptimWrapper


class CUDAAmpOptimWrapper(GuardedStep, MMAmpOptimWrapper):
    """mmengine's ``AmpOptimWrapper``; arguments as there.

    With loss scaling, gradients beyond the range of float16 are normal: the scaler skips the step and scales less.
    """

    def step(self, **kwargs) -> None:
        """Unscale, clip and step, unless the scaler or the guard forbids it."""
        if not self.loss_scaler.is_enabled():
            super().step(**kwargs)
            return
        if self.guard is not None or self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
        norm = self.clip_gradients()
        # The scaler reads its own flag from the device in each step, so one more read costs little.
        if self.guard is None or self.guard.allows_scaled_step(norm):
            self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update(self._scale_update_param)


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
