"""One-cycle schedules of the learning rate and of beta1, per parameter group.

Reference: Super-Convergence, https://arxiv.org/abs/1708.07120
"""

import math

from mmengine.optim import _ParamScheduler
from torch.optim import Optimizer

from depth.registry import PARAM_SCHEDULERS


def anneal(start: float, end: float, share: float) -> float:
    """Return the cosine interpolation from ``start`` (share 0) to ``end`` (share 1)."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


@PARAM_SCHEDULERS.register_module()
class OneCycleRate(_ParamScheduler):
    """One cycle of the learning rate; every parameter group keeps its own maximum.

    Args:
        optimizer: Optimizer or its wrapper; the groups' rates are the maxima.
        total_steps: Number of iterations of the cycle.
        pct_start: Share of the iterations in which the rate grows.
        div_factor: The first rate is the maximum divided by this.
        final_div_factor: The last rate is the first one divided by this.
        group_rates: False gives every group the first group's maximum, as the published code does
            by mistake.
        begin, end, last_step, by_epoch, verbose: As in mmengine; counted in iterations.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 100.0,
        group_rates: bool = True,
        begin: int = 0,
        end: int = 10**9,
        last_step: int = -1,
        by_epoch: bool = False,
        verbose: bool = False,
    ) -> None:
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.group_rates = group_rates
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
        maxima = (
            self.base_values if self.group_rates else [self.base_values[0]] * len(self.base_values)
        )
        return [maximum * self.factor(self.last_step) for maximum in maxima]

    def factor(self, step: int) -> float:
        """Return the rate at an iteration, as a share of the maximum."""
        first = 1 / self.div_factor
        last = first / self.final_div_factor
        peak = self.pct_start * self.total_steps - 1
        if step <= peak:
            return anneal(first, 1.0, step / peak)
        return anneal(1.0, last, min((step - peak) / (self.total_steps - 1 - peak), 1.0))


@PARAM_SCHEDULERS.register_module()
class OneCycleMomentum(_ParamScheduler):
    """One cycle of beta1 (Adam) or the momentum (SGD): down while the rate grows, then back.

    Args:
        optimizer: Optimizer or its wrapper.
        total_steps: Iterations in all.
        base_momentum: Value at the peak of the rate.
        max_momentum: Value at both ends.
        pct_start: Share of the iterations in which the rate grows.
        begin, end, last_step, by_epoch, verbose: As in mmengine; counted in iterations.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        pct_start: float = 0.3,
        begin: int = 0,
        end: int = 10**9,
        last_step: int = -1,
        by_epoch: bool = False,
        verbose: bool = False,
    ) -> None:
        self.total_steps, self.pct_start = total_steps, pct_start
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        # mmengine schedules scalars, so beta1 travels as a group entry.
        for group in optimizer.param_groups:
            group.setdefault('beta1', group['betas'][0] if 'betas' in group else group['momentum'])
        super().__init__(
            optimizer,
            'beta1',
            begin=begin,
            end=end,
            last_step=last_step,
            by_epoch=by_epoch,
            verbose=verbose,
        )

    def step(self) -> None:
        """Advance, and hand the new value to the optimizer."""
        super().step()
        for group in self.optimizer.param_groups:
            if 'betas' in group:
                group['betas'] = (group['beta1'], *group['betas'][1:])
            else:
                group['momentum'] = group['beta1']

    def _get_value(self) -> list[float]:
        return [self.value(self.last_step)] * len(self.base_values)

    def value(self, step: int) -> float:
        """Return beta1 at an iteration."""
        peak = self.pct_start * self.total_steps - 1
        if step <= peak:
            return anneal(self.max_momentum, self.base_momentum, step / peak)
        return anneal(
            self.base_momentum,
            self.max_momentum,
            min((step - peak) / (self.total_steps - 1 - peak), 1.0),
        )
