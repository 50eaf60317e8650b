"""Cosine annealing under a linear warm-up, as mmcv 1.x ran it."""

import math

from mmengine.optim import _ParamScheduler
from torch.optim import Optimizer

from depth.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Cosine over all iterations from 0, multiplied by a linear warm-up.

    During the warm-up the rate at iteration i is
    ``cosine(i / max_iters) * (1 - (1 - i / warmup_iters) * (1 - warmup_ratio))``, so its peak stays
    below the base rate (0.75 of it where the warm-up is a third of the run).

    Args:
        optimizer: Optimizer or its wrapper.
        max_iters: Iterations in all.
        warmup_iters: Iterations of the warm-up.
        warmup_ratio: Share of the rate at iteration 0.
        min_lr_ratio: Share of the rate at the end.
        begin, end, last_step, by_epoch, verbose: As in mmengine; counted in iterations.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_iters: int,
        warmup_iters: int = 0,
        warmup_ratio: float = 1e-3,
        min_lr_ratio: float = 1e-8,
        begin: int = 0,
        end: int = 10**9,
        last_step: int = -1,
        by_epoch: bool = False,
        verbose: bool = False,
    ) -> None:
        self.max_iters, self.warmup_iters = max_iters, warmup_iters
        self.warmup_ratio, self.min_lr_ratio = warmup_ratio, min_lr_ratio
        super().__init__(
            optimizer,
            'lr',
            begin=begin,
            end=end,
            last_step=last_step,
            by_epoch=by_epoch,
            verbose=verbose,
        )

    def _get_value(self) -> list[float]:
        return [base * self.factor(self.last_step) for base in self.base_values]

    def factor(self, step: int) -> float:
        """Return the share of the base rate at an iteration."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, self.max_iters) / self.max_iters))
        factor = self.min_lr_ratio + (1 - self.min_lr_ratio) * cosine
        if step < self.warmup_iters:
            factor *= 1 - (1 - step / self.warmup_iters) * (1 - self.warmup_ratio)
        return factor
