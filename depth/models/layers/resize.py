"""Bilinear resize of maps with half-pixel centres."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def resize_map(values: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, C, h, w) bilinearly to ``size``, with ``align_corners=False`` as in OpenCV."""
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return F.interpolate(values, size=tuple(size), mode='bilinear', align_corners=False)
