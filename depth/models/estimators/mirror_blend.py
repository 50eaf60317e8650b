"""Blending a prediction with that of the mirrored image."""

import torch
from torch import Tensor


def blend_mirrored(direct: Tensor, mirrored: Tensor) -> Tensor:
    """Return the mean of two maps, but near the left border the second and near the right border the first alone.

    A stereo-trained network errs at the border beyond which the other camera sees nothing; mirroring moves that border
    to the other side. The outer 5 % of columns come from the better map, the next 5 % are linear ramps.

    Args:
        direct: Prediction of the image, (..., H, W).
        mirrored: Prediction of the mirrored image, mirrored back, same shape.

    Reference: Unsupervised Monocular Depth Estimation with Left-Right Consistency, https://arxiv.org/abs/1609.03677.
    """
    place = torch.linspace(0, 1, direct.shape[-1], dtype=direct.dtype, device=direct.device)
    left = 1 - (20 * (place - 0.05)).clamp(0, 1)
    right = left.flip(0)
    return left * mirrored + right * direct + (1 - left - right) * (direct + mirrored) / 2
