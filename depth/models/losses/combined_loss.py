"""Several losses on depth as one."""

from collections.abc import Sequence

from torch import Tensor, nn

from depth.registry import MODELS


@MODELS.register_module()
class CombinedLoss(nn.Module):
    """Sum of losses, for any head's ``loss_decode``; each has its own ``loss_weight``.

    Args:
        losses: Configs of losses that take ``(pred, target, mask)``.

    Raises:
        ValueError: If there is none.
    """

    def __init__(self, losses: Sequence[dict]) -> None:
        super().__init__()
        if not losses:
            raise ValueError('CombinedLoss: losses must hold at least one loss config')
        self.losses = nn.ModuleList(MODELS.build(loss) for loss in losses)

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the sum of the losses of depth in metres, all (N, 1, H, W)."""
        return sum(loss(pred, target, mask) for loss in self.losses)
