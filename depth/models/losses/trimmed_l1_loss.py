"""Mean absolute error without the largest errors of each image."""

import torch
from torch import Tensor, nn

from depth.registry import MODELS


def trimmed_l1_loss(pred: Tensor, target: Tensor, mask: Tensor, trim: float = 0.2) -> Tensor:
    """Return the mean over images of the mean absolute error of their best pixels.

    Args:
        pred: Prediction, (N, 1, H, W).
        target: Label, same shape; ignored where masked out.
        mask: Boolean, same shape; True where ``target`` counts.
        trim: Share of the valid pixels of an image that is left out, those of the largest errors.

    Returns:
        Scalar; an image without valid pixels counts as 0.

    Reference: Depth Pro, https://arxiv.org/abs/2410.02073, equation 1; of real-world data the
    pixels whose errors are among the largest 20 % of an image are discarded.
    """
    error = torch.where(mask, (pred - target).abs(), 0).flatten(1)  # (N, L)
    mask = mask.flatten(1)
    count = mask.sum(1)
    if trim > 0:
        order = torch.where(mask, error, torch.inf).detach().argsort(dim=1)
        # At least one pixel of an image that has any.
        count = torch.maximum((count * (1 - trim)).floor(), count.clamp(max=1))
        chosen = torch.arange(error.shape[1], device=error.device) < count[:, None]
        error = torch.where(chosen, error.gather(1, order), 0)
    return (error.sum(1) / count.clamp(min=1)).mean()


@MODELS.register_module()
class TrimmedL1Loss(nn.Module):
    """Weighted :func:`trimmed_l1_loss`.

    Args:
        loss_weight: Factor of the loss.
        trim: Share of the valid pixels that is left out; 0 for exact labels, such as rendered ones.

    Raises:
        ValueError: If ``trim`` is no share.
    """

    def __init__(self, loss_weight: float = 1.0, trim: float = 0.0) -> None:
        super().__init__()
        if not 0 <= trim < 1:
            raise ValueError(f'TrimmedL1Loss: trim is a share, from 0 to below 1, got {trim}')
        self.loss_weight, self.trim = loss_weight, trim

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss, all (N, 1, H, W)."""
        return self.loss_weight * trimmed_l1_loss(pred, target, mask, self.trim)
