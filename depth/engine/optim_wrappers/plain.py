"""mmengine's optimizer wrapper without a wait for the device."""

from mmengine.optim import OptimWrapper as MMOptimWrapper

from depth.registry import OPTIM_WRAPPERS


class DeferredGradNorm:
    """Mix-in: the norm that clipping computes goes to the log as a tensor, see ``DeferredMessageHub``."""

    def _clip_grad(self) -> None:
        groups = self.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group['params'] if parameter.grad is not None]
        norm = self.clip_func(parameters, **self.clip_grad_kwargs) if parameters else None
        if norm is not None:  # clipping by value computes none
            self.message_hub.update_scalar(f'train/{self.grad_name}', norm)


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(DeferredGradNorm, MMOptimWrapper):
    """mmengine's ``OptimWrapper``; arguments as there."""
