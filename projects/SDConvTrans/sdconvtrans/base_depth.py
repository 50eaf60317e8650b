"""Training targets of SD-ConvTrans: smooth base depth, and ground truth at the outputs' size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def smooth_base_depth(depth: Tensor, mask: Tensor, radius: int = 15, edge: float = 0.2) -> Tensor:
    """Smooth depth but keep large steps, by a guided filter whose guide is the depth itself.

    Where depth varies by much less than ``edge`` metres within a window, its mean remains; steps
    well above stay. Windows average over valid pixels only. (The published targets come from files
    that were not released, made by a weighted-least-squares filter with unknown parameters.)

    Args:
        depth: (N, 1, H, W) in metres.
        mask: Boolean, same shape; True where depth is known.
        radius: Of the square windows, in pixels.
        edge: In metres.

    Returns:
        (N, 1, H, W) in metres, 0 where ``mask`` is not.

    Reference: Guided Image Filtering, K. He et al. 2010,
    https://doi.org/10.1007/978-3-642-15549-9_1
    """
    valid = mask.to(depth.dtype)
    measured = torch.where(mask, depth, 0)
    # Means over a window's valid pixels: mean of values that are 0 elsewhere, over the share of
    # valid ones.
    share = _window_mean(valid, radius).clamp(min=1e-6)
    mean = _window_mean(measured, radius) / share
    # Variances are taken around each image's mean depth: squares of metres would lose digits in
    # float32.
    center = measured.sum(dim=(2, 3), keepdim=True) / valid.sum(dim=(2, 3), keepdim=True).clamp(
        min=1,
    )
    centered = torch.where(mask, depth - center, 0)
    centered_mean = _window_mean(centered, radius) / share
    variance = (_window_mean(centered.square(), radius) / share - centered_mean.square()).clamp(
        min=0,
    )
    # In each window depth is fitted by slope * depth + (1 - slope) * mean, as in the guided filter.
    slope = variance / (variance + edge**2)
    slope_mean = _window_mean(slope * valid, radius) / share
    offset_mean = _window_mean((1 - slope) * mean * valid, radius) / share
    return torch.where(mask, slope_mean * measured + offset_mean, 0)


def _window_mean(values: Tensor, radius: int) -> Tensor:
    """Return the mean over square windows, cut at the border; same shape as ``values``."""
    side = 2 * radius + 1
    return F.avg_pool2d(values, side, stride=1, padding=radius, count_include_pad=False)


def downsample_valid(depth: Tensor, mask: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Shrink depth (N, 1, H, W) to ``size`` with anti-aliasing, from valid pixels only.

    Returns:
        Depth (N, 1, h, w) in metres and its mask: at least half of the weight came from valid
        pixels.
    """
    resize = dict(size=tuple(size), mode='bilinear', align_corners=False, antialias=True)
    share = F.interpolate(mask.to(depth.dtype), **resize)
    total = F.interpolate(torch.where(mask, depth, 0), **resize)
    valid = share >= 0.5
    return torch.where(valid, total / share.clamp(min=0.5), 0), valid
