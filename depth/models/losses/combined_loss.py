"""Several losses on depth as one."""

from collections.abc import Sequence

from torch import Tensor, nn

from depth.registry import MODELS


@MODELS.register_module()
class CombinedLoss(nn.Module):
    """Sum of losses, for any head's ``loss_decode``; each has its own ``loss_weight`` and is logged by itself.

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
        self.names: list[str] = []  # SILogLoss, and SILogLoss_1 for a second one
        for loss in self.losses:
            name = type(loss).__name__
            count = sum(other.split('_')[0] == name for other in self.names)
            self.names.append(f'{name}_{count}' if count else name)

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the sum of the losses of depth in metres, all (N, 1, H, W)."""
        return sum(self.parts(pred, target, mask).values())

    def parts(self, pred: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Return the weighted losses by name; :meth:`forward` is their sum."""
        return {name: loss(pred, target, mask) for name, loss in zip(self.names, self.losses, strict=True)}
