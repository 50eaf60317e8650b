"""Losses on planes, means over the pixels of a mask."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``values`` where ``mask`` is True, both (N, 1, H, W); 0 if it is nowhere."""
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def normal_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of 1 - cosine between normals (N, 3, H, W) where ``mask`` (N, 1, H, W) is True."""
    return masked_mean(1 - F.cosine_similarity(pred, target, dim=1).unsqueeze(1), mask)


def distance_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of distances (N, 1, H, W), in metres, where ``mask`` is True."""
    return masked_mean((pred - target).abs(), mask)
