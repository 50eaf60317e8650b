"""Loss that stops being finite in chosen iterations."""

import torch
from mmengine.dist import get_rank
from mmengine.logging import MessageHub
from torch import Tensor

from depth.models.losses import SILogLoss
from depth.registry import MODELS


@MODELS.register_module()
class PoisonedLoss(SILogLoss):
    """SILog that is not finite, or whose gradient is not, in some iterations.

    Args:
        iterations: Which, counted from 0.
        kind: ``'loss'``: infinite without a gradient of its own; ``'gradient'``: finite with a
            gradient of NaN.
        rank: The process that is poisoned, None for all.
        **kwargs: Of ``SILogLoss``.
    """

    def __init__(
        self,
        iterations: tuple[int, ...] = (),
        kind: str = 'loss',
        rank: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.iterations, self.kind, self.rank = iterations, kind, rank

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        loss = super().forward(pred, target, mask)
        is_here = self.rank is None or self.rank == get_rank()
        if (
            not is_here
            or MessageHub.get_current_instance().get_info('iter', 0) not in self.iterations
        ):
            return loss
        return loss + torch.inf if self.kind == 'loss' else loss + torch.sqrt(0 * pred).sum()
