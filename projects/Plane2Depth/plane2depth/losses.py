"""Plane losses: normals and distances, averaged over the pixels of a mask."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``values`` under ``mask``, both (N, 1, H, W); 0 for an empty mask."""
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def normal_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of 1 - cosine of normals (N, 3, H, W) under ``mask`` (N, 1, H, W)."""
    return masked_mean(1 - F.cosine_similarity(pred, target, dim=1).unsqueeze(1), mask)


def distance_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute error of distances (N, 1, H, W), in metres, under ``mask``."""
    return masked_mean((pred - target).abs(), mask)
