"""Weighted sum of several losses on depth."""

from collections import Counter
from collections.abc import Sequence

from torch import Tensor, nn

from depth.registry import MODELS


@MODELS.register_module()
class CombinedLoss(nn.Module):
    """Sum of losses on depth, usable as ``loss_decode`` of any head.

    Each term has its own ``loss_weight`` and is logged under its own name.

    Args:
        losses: Configs of losses that take ``(pred, target, mask)``.

    Raises:
        ValueError: If ``losses`` is empty.
    """

    def __init__(self, losses: Sequence[dict]) -> None:
        super().__init__()
        if not losses:
            raise ValueError('CombinedLoss: losses must hold at least one loss config')
        self.losses = nn.ModuleList(MODELS.build(loss) for loss in losses)
        self.names: list[str] = []  # SILogLoss, and SILogLoss_1 for a second one
        counts: Counter[str] = Counter()
        for loss in self.losses:
            name = type(loss).__name__
            self.names.append(f'{name}_{counts[name]}' if counts[name] else name)
            counts[name] += 1

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the sum of the losses of depth in metres, all (N, 1, H, W)."""
        return sum(self.weighted_terms(pred, target, mask).values())

    def weighted_terms(self, pred: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Return the weighted losses by name; :meth:`forward` is their sum."""
        terms = {}
        for name, loss in zip(self.names, self.losses, strict=True):
            terms[name] = loss(pred, target, mask)
        return terms


def loss_terms(loss: nn.Module, pred: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return the value of a loss as ``depth``, or the terms of a combined one as ``depth_<name>``.

    Args:
        loss: Loss that takes ``(pred, target, mask)``.
        pred: Prediction (N, 1, H, W).
        target: Labels, same shape.
        mask: Boolean, same shape; True where ``target`` counts.
    """
    if not isinstance(loss, CombinedLoss):
        return dict(depth=loss(pred, target, mask))
    terms = loss.weighted_terms(pred, target, mask)
    return {f'depth_{name}': value for name, value in terms.items()}
