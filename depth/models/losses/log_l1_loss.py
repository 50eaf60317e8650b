"""Mean absolute error of log depth."""

import torch
from torch import Tensor, nn

from depth.registry import MODELS

from .relative_depth_loss import masked_mean

MIN_DEPTH = 1e-3  # metres; a prediction of 0 m is clamped to it


def log_l1_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over images of the mean of |ln pred - ln target|.

    To first order this is abs_rel. Unlike a squared error it takes, where a pixel may belong to
    either side of an edge, one of both depths rather than one in between.

    Args:
        pred: Prediction in metres, (N, 1, H, W).
        target: Measured depth in metres, same shape; ignored where masked out.
        mask: Boolean, same shape; True where ``target`` counts.

    Returns:
        Scalar; an image without valid pixels counts as 0.
    """
    log_pred = torch.where(mask, pred, 1).clamp(min=MIN_DEPTH).log()
    error = (log_pred - torch.where(mask, target, 1).log()).abs()
    return masked_mean(error, mask).mean()


@MODELS.register_module()
class LogL1Loss(nn.Module):
    """Weighted :func:`log_l1_loss`.

    Args:
        loss_weight: Factor of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        # Under AMP, logarithms are compared in float32.
        return self.loss_weight * log_l1_loss(pred.float(), target.float(), mask)
