"""Mean absolute error without the largest errors of each image."""

import torch
from torch import Tensor, nn

from depth.registry import MODELS


def trimmed_l1_loss(pred: Tensor, target: Tensor, mask: Tensor, kept: float = 0.8) -> Tensor:
    """Return the mean over images of the mean absolute error of their best pixels.

    Args:
        pred: Prediction, (N, 1, H, W).
        target: Label, same shape; ignored where masked out.
        mask: Boolean, same shape; True where ``target`` counts.
        kept: Share of the valid pixels of an image that count, those of the smallest errors.

    Returns:
        Scalar; an image without valid pixels counts as 0.

    Reference: Depth Pro, https://arxiv.org/abs/2410.02073, section 3.2: on real data 20 % of the
    pixels with the largest errors are discarded.
    """
    error = torch.where(mask, (pred - target).abs(), 0).flatten(1)  # (N, L)
    mask = mask.flatten(1)
    count = mask.sum(1)
    if kept < 1:
        order = torch.where(mask, error, torch.inf).detach().argsort(dim=1)
        # At least one pixel of an image that has any.
        count = torch.maximum((count * kept).floor(), count.clamp(max=1))
        chosen = torch.arange(error.shape[1], device=error.device) < count[:, None]
        error = torch.where(chosen, error.gather(1, order), 0)
    return (error.sum(1) / count.clamp(min=1)).mean()


@MODELS.register_module()
class TrimmedL1Loss(nn.Module):
    """Weighted :func:`trimmed_l1_loss`.

    Args:
        loss_weight: Factor of the loss.
        kept: Share of the valid pixels that count; 1 for exact labels, such as rendered ones.

    Raises:
        ValueError: If ``kept`` is no share.
    """

    def __init__(self, loss_weight: float = 1.0, kept: float = 1.0) -> None:
        super().__init__()
        if not 0 < kept <= 1:
            raise ValueError(f'TrimmedL1Loss: kept is a share, above 0 and up to 1, got {kept}')
        self.loss_weight, self.kept = loss_weight, kept

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss, all (N, 1, H, W)."""
        return self.loss_weight * trimmed_l1_loss(pred, target, mask, self.kept)
