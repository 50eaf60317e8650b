"""Sparse depth as network input: batches of points, and maps without holes made from them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from depth.structures import DepthDataSample

SMOOTHING_STEPS = 4  # of each level
GAP_SCALE = 0.25  # brings the usual 0 to 5 halvings to the size of other features


def has_points(data_samples: Sequence[DepthDataSample] | None) -> bool:
    """Return whether a sample has a map of points, be it one without any point."""
    return data_samples is not None and any('sparse_depth' in sample for sample in data_samples)


def stack_sparse_depth(
    data_samples: Sequence[DepthDataSample] | None, inputs: Tensor
) -> Tensor | None:
    """Return the points (N, 1, H, W) of a batch in metres, 0 = none; None if no sample has any map.

    Args:
        data_samples: Samples; those without ``sparse_depth`` have no points.
        inputs: Images or features (N, C, ...), for the number of images, device and type.

    Raises:
        ValueError: If the sizes of the maps differ, or there is not one sample an image.
    """
    if not has_points(data_samples):
        return None
    maps = [sample.get('sparse_depth') for sample in data_samples]
    shapes = {tuple(points.shape) for points in maps if points is not None}
    if len(maps) != len(inputs) or len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(
            f'sparse_depth of a batch is one map (H, W) an image, all of one size; got {len(maps)} '
            f'samples with maps of {sorted(shapes)} for {len(inputs)} images'
        )
    empty = inputs.new_zeros(next(iter(shapes)), dtype=torch.float32)
    stacked = torch.stack([empty if points is None else points.float() for points in maps])
    return stacked.unsqueeze(1)


def append_points(inputs: Tensor, data_samples: Sequence[DepthDataSample] | None) -> Tensor:
    """Return images (N, 3, H, W) with log depth and validity as channels 4 and 5 (N, 5, H, W).

    Both are 0 where there is no point. Images of which no sample has points stay as they are.

    Raises:
        ValueError: If the points have another size than the images.
    """
    points = stack_sparse_depth(data_samples, inputs)
    if points is None:
        return inputs
    if points.shape[-2:] != inputs.shape[-2:]:
        raise ValueError(
            f'sparse_depth is {tuple(points.shape[-2:])}, the images are {tuple(inputs.shape[-2:])}'
        )
    valid = points > 0
    log_depth = torch.where(valid, points, 1).log()
    return torch.cat([inputs, log_depth.to(inputs), valid.to(inputs)], dim=1)


def fill_points(
    points: Tensor, affinities: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Fill the pixels between points of depth, by :func:`fill_holes` of their inverse.

    Inverse depth of a plane is affine in the pixels, which a membrane reproduces.

    Args:
        points: (N, 1, H, W) in metres, 0 = none.
        affinities: See :func:`fill_holes`.

    Returns:
        Depth (N, 1, H, W) in metres, the points themselves where there are any and 1 m in images
        without; and how far the next point is, see :func:`fill_holes`.
    """
    valid = points > 0
    inverse, gap = fill_holes(torch.where(valid, points, 1).reciprocal(), valid, affinities)
    has_any = valid.flatten(1).any(dim=1)[:, None, None, None]
    return torch.where(has_any, inverse, 1).reciprocal(), gap


def fill_holes(
    values: Tensor, valid: Tensor, affinities: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Fill the pixels of a map that have no value: pull-push with relaxation.

    Means of the values in cells of 2, 4, 8 ... pixels are taken (pull). From coarse to fine each
    cell without a value gets the bilinear value of the coarser ones (push) and, by a few relaxation
    steps, the mean of its neighbours, so that the result tends to the membrane through the values.
    With affinities the mean is weighted, and values need not spread across the edges of an image.

    Args:
        values: (N, 1, H, W), finite everywhere.
        valid: Boolean, same shape; True where a value counts.
        affinities: Shares (N, 9, h, w) of the 3x3 neighbours of each pixel, row by row, that sum to
            1, for the sizes of :func:`halvings` but the last, finest first. None: equal shares.

    Returns:
        The map without holes, 0 in images without any value; and how far the next value is: the
        number of halvings of the resolution after which a pixel's cell has one, interpolated.

    References:
        Pull-push: The Lumigraph, https://doi.org/10.1145/237170.237200
        Affinities: Convolutional Spatial Propagation Network, https://arxiv.org/abs/1810.02695,
        which relaxes at full resolution alone
    """
    pyramid = list(
        zip(halvings(torch.where(valid, values, 0)), halvings(valid.to(values)), strict=True)
    )
    sums, weights = pyramid.pop()
    if affinities is None:
        affinities = [None] * len(pyramid)
    filled = sums / _positive(weights)
    gap = torch.zeros_like(filled)
    for (sums, weights), shares in zip(reversed(pyramid), reversed(affinities), strict=True):
        size, known = sums.shape[-2:], weights > 0
        means = sums / _positive(weights)
        filled = F.interpolate(filled, size=size, mode='bilinear', align_corners=False)
        filled = torch.where(known, means, filled)
        for _ in range(SMOOTHING_STEPS):
            filled = torch.where(known, means, _mean_of_neighbours(filled, shares))
        gap = F.interpolate(gap, size=size, mode='bilinear', align_corners=False)
        gap = gap + (~known).to(gap)
    return filled, gap


def halvings(values: Tensor) -> list[Tensor]:
    """Return a map (N, C, H, W) and its means of cells of 2, 4, 8 ... pixels, down to one cell."""
    levels = [values]
    while max(levels[-1].shape[-2:]) > 1:
        levels.append(_halve(levels[-1]))
    return levels


def neighbours(values: Tensor) -> Tensor:
    """Return the 3x3 neighbours (N, C, 9, h, w) of each pixel of a map (N, C, h, w), row by row."""
    padded = F.pad(values, (1, 1, 1, 1), mode='replicate')
    return F.unfold(padded, 3).view(*values.shape[:2], 9, *values.shape[2:])


def _mean_of_neighbours(values: Tensor, shares: Tensor | None) -> Tensor:
    """Return the mean of each pixel's 3x3 neighbours (N, 1, h, w), by ``shares`` (N, 9, h, w)."""
    if shares is None:
        padded = F.pad(values, (1, 1, 1, 1), mode='replicate')
        return F.avg_pool2d(padded, 3, stride=1)
    return (neighbours(values)[:, 0] * shares).sum(dim=1, keepdim=True)


def _halve(values: Tensor) -> Tensor:
    """Return means of 2x2 cells (N, C, ceil(H / 2), ceil(W / 2)); those at an odd end are cut."""
    return F.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)


def _positive(weights: Tensor) -> Tensor:
    return torch.where(weights > 0, weights, 1)
