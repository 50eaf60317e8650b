"""Bilinear resize of maps with half-pixel centres, and the cut of padding."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from depth.export_mode import has_size


def resize_map(values: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, C, h, w) bilinearly to ``size``, with ``align_corners=False`` as in OpenCV."""
    if has_size(values, size):
        return values
    return F.interpolate(values, size=tuple(size), mode='bilinear', align_corners=False)


def cut_patch_padding(values: Tensor, size: Sequence[int], patch_size: int) -> Tensor:
    """Cut maps of an image that was padded to whole patches at the right and bottom.

    Args:
        values: (N, C, h, w).
        size: (height, width) before the padding.
        patch_size: Pixels a patch.

    Returns:
        (N, C, height, width), or ``values`` if they are not of the padded size.
    """
    padded = tuple(-(-length // patch_size) * patch_size for length in size)
    return values[..., : size[0], : size[1]] if tuple(values.shape[-2:]) == padded else values
