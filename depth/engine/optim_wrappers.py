"""Optimizer wrappers with a guarded step, in full precision and in mixed precision."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper as MMAmpOptimWrapper
from mmengine.optim import OptimWrapper as MMOptimWrapper
from torch import Tensor, nn

from depth.registry import OPTIM_WRAPPERS
from depth.sharded_tensors import is_sharded

from .step_guard import StepGuard, clip_gradients_by_norm, gradient_norm


class GuardedStep:
    """Mix-in for optimizer wrappers: a :class:`StepGuard` may skip a step.

    Without a guard every step is taken. The gradient norm is logged as a tensor, which
    ``DeferredMessageHub`` reads later, so no step waits for the device.
    """

    guard: StepGuard | None = None
    # Set by GroupingOptimWrapperConstructor, for checkpoints with one group for each parameter.
    ungrouped_numbers: Sequence[int] = ()

    def update_params(
        self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None
    ) -> None:
        """Run the backward pass and, at the end of an accumulation window, step the optimizer."""
        if self.guard is not None:
            loss = self.guard.mark(loss)
        super().update_params(loss, step_kwargs, zero_kwargs)

    def step(self, **kwargs) -> None:
        """Clip the gradients and step, unless the guard forbids it."""
        norm = self.clip_gradients()
        if self.guard is None:
            self.optimizer.step(**kwargs)
        else:
            self.guard.step(self.optimizer, norm, **kwargs)

    def clip_gradients(self) -> Tensor | None:
        """Clip the gradients as configured; return their norm before, None if it is not needed."""
        parameters = []
        for group in self.optimizer.param_groups:
            parameters += [parameter for parameter in group['params'] if parameter.grad is not None]
        clips = bool(self.clip_grad_kwargs) and bool(parameters)
        norm = None
        # Clipping by norm returns the norm. Clipping by value does not, and would hide infinite
        # gradients, so the guard's norm is taken before.
        if self.guard is not None and not (
            clips and self.clip_func is torch.nn.utils.clip_grad_norm_
        ):
            norm = gradient_norm(parameters)
        if clips:
            clip = self.clip_func
            if clip is torch.nn.utils.clip_grad_norm_ and is_sharded(parameters[0]):
                clip = clip_gradients_by_norm
            clipped_norm = clip(parameters, **self.clip_grad_kwargs)
            if clipped_norm is not None:
                norm = clipped_norm
                self.message_hub.update_scalar(f'train/{self.grad_name}', norm)
        return norm


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(GuardedStep, MMOptimWrapper):
    """mmengine's ``OptimWrapper``; arguments as there."""


class CUDAAmpOptimWrapper(GuardedStep, MMAmpOptimWrapper):
    """mmengine's ``AmpOptimWrapper``; arguments as there.

    With loss scaling, gradients beyond the range of float16 are normal: the scaler skips the step
    and lowers its scale.
    """

    def step(self, **kwargs) -> None:
        """Unscale, clip and step, unless the scaler or the guard forbids it."""
        if not self.loss_scaler.is_enabled():
            super().step(**kwargs)
            return
        if self.guard is not None or self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
        norm = self.clip_gradients()
        # The scaler reads a flag from the device in each step, so reading one more costs little.
        if self.guard is None or self.guard.allows_scaled_step(norm):
            self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update(self._scale_update_param)


class CPUAmpOptimWrapper(OptimWrapper):
    """Optimizer wrapper with bfloat16 autocast on the CPU, which needs no loss scaling."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass under autocast."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module()
def AmpOptimWrapper(
    dtype: str | None = None, loss_scale: str | float | dict = 'dynamic', **kwargs
) -> OptimWrapper:
    """Build the mixed-precision wrapper that fits the machine.

    Args:
        dtype: ``'float16'`` (the default on CUDA) or ``'bfloat16'`` (the only one on CPU).
        loss_scale: Loss scaling for float16. bfloat16 has float32's range and needs none, which
            saves a wait for the device in every iteration.
        **kwargs: Arguments of mmengine's ``OptimWrapper``.
    """
    if torch.cuda.is_available():
        if dtype == 'bfloat16':
            loss_scale = dict(enabled=False)
        return CUDAAmpOptimWrapper(dtype=dtype, loss_scale=loss_scale, **kwargs)
    if dtype != 'bfloat16':
        print_log('mixed precision on the CPU is bfloat16', logger='current')
    return CPUAmpOptimWrapper(**kwargs)
