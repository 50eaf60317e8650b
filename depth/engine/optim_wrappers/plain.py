"""mmengine's optimizer wrapper without a wait for the device."""

import torch
from mmengine.optim import OptimWrapper as MMOptimWrapper
from torch import Tensor

from depth.registry import OPTIM_WRAPPERS

from .step_guard import StepGuard, gradient_norm


class GuardedStep:
    """Mix-in: the gradient norm goes to the log as a tensor, and a guard may skip a step that it forbids.

    See ``DeferredMessageHub`` and :class:`StepGuard`; without a guard every step is taken.
    """

    guard: StepGuard | None = None

    def update_params(self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None) -> None:
        """Go backward and, at the end of a window of accumulation, step; see mmengine's ``OptimWrapper``."""
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
        """Clip the gradients if the config says so and return their norm from before; None if nobody needs it."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group['params']]
        parameters = [parameter for parameter in parameters if parameter.grad is not None]
        clips = bool(self.clip_grad_kwargs) and bool(parameters)
        norm = None
        # Clipping by value would hide infinite gradients, and returns no norm.
        if self.guard is not None and not (clips and self.clip_func is torch.nn.utils.clip_grad_norm_):
            norm = gradient_norm(parameters)
        if clips:
            clipped_norm = self.clip_func(parameters, **self.clip_grad_kwargs)
            if clipped_norm is not None:
                norm = clipped_norm
                self.message_hub.update_scalar(f'train/{self.grad_name}', norm)
        return norm


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(GuardedStep, MMOptimWrapper):
    """mmengine's ``OptimWrapper``; arguments as there."""
