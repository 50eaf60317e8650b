"""Mean squared error."""

import torch
from torch import Tensor, nn

from depth.registry import MODELS

from .relative_depth_loss import masked_mean


@MODELS.register_module()
class SquaredErrorLoss(nn.Module):
    """Weighted mean over images of the mean squared error of their labelled pixels.

    Args:
        loss_weight: Factor of the loss.

    Reference: Depth Pro, https://arxiv.org/abs/2410.02073, table 17: MSE of canonical inverse depth
    in the second stage
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss, all (N, 1, H, W); an image without labels counts as 0."""
        error = torch.where(mask, pred - target, 0).square()
        return self.loss_weight * masked_mean(error, mask).mean()
