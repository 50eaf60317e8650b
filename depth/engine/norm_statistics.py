"""Running statistics of normalisation layers, averaged over processes.

Each process of a distributed training sees its own images, so the running mean and variance of
plain BatchNorm differ between processes while the weights are equal. Validation, whose images are
divided among the processes, and a saved checkpoint need one set of statistics: the mean over the
processes. Training does not change, because BatchNorm then uses the statistics of the batch.
"""

from collections.abc import Iterable

import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from .distributed import unwrap_model


def synchronize_norm_statistics(runner: Runner) -> None:
    """Average the running statistics of the model, and of its moving average, over all processes.

    A collective operation: all processes have to call it.
    """
    if get_dist_info()[1] == 1:
        return
    models = [unwrap_model(runner)]
    models += [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
    average_norm_statistics(models)


@torch.no_grad()
def average_norm_statistics(models: Iterable[nn.Module]) -> None:
    """Replace each running mean and variance by its mean over all processes."""
    buffers = []
    for model in models:
        for module in model.modules():
            if isinstance(module, _NormBase) and module.running_mean is not None:
                buffers += [module.running_mean, module.running_var]
    if not buffers:
        return
    # One transfer for all buffers. In float64 the mean of equal float32 numbers is exactly that
    # number, so frozen layers do not change.
    total = torch.cat([buffer.double().flatten() for buffer in buffers])
    torch.distributed.all_reduce(total)
    total /= get_dist_info()[1]
    for buffer, mean in zip(
        buffers, total.split([buffer.numel() for buffer in buffers]), strict=True
    ):
        buffer.copy_(mean.view_as(buffer))
