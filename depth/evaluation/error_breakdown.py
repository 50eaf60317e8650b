"""Errors of depth maps by image gradient, by nearness to a depth edge and by distance."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .detail import edge_signs

GRADIENT_BANDS = ('lowest quarter', 'second', 'third', 'highest quarter')
EDGE_RATIO = 1.1  # two neighbours are an edge where one is that many times as far
EDGE_DISTANCES = (1, 4)  # pixels; far ends of the bands around a depth edge
EDGE_BANDS = ('0-1 px', '2-4 px', 'beyond 4 px')
# Depth on fewer pixels has too few neighbours to tell where its edges are.
DENSE_SHARE = 0.5
ERROR_LIMIT = 1.0  # relative errors beyond it count as it in quantiles
NUM_ERROR_BINS = 400


def gradient_bands(image: Tensor, mask: Tensor) -> Tensor:
    """Return the quarter of the image gradient that each pixel belongs to, 0 to 3, (H, W).

    The quarters are those of the valid pixels of this image, so each holds as many of them, unless
    many have equal gradients. The gradient is that of the mean of the channels, by the Sobel
    operator.

    Args:
        image: (C, H, W), any range.
        mask: Boolean, (H, W).
    """
    grey = image.float().mean(dim=0)[None, None]
    smooth, difference = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
    kernels = torch.stack([torch.outer(smooth, difference), torch.outer(difference, smooth)])
    padded = F.pad(grey, (1, 1, 1, 1), mode='replicate')
    magnitude = F.conv2d(padded, kernels[:, None]).square().sum(dim=1).sqrt()[0]
    values = magnitude[mask].sort().values
    if not len(values):
        return torch.zeros(mask.shape, dtype=torch.int64)
    bounds = values[[len(values) * quarter // 4 for quarter in (1, 2, 3)]]
    return torch.bucketize(magnitude, bounds, right=True)


def edge_bands(gt_depth: Tensor, mask: Tensor, ratio: float = EDGE_RATIO) -> Tensor:
    """Return how near a true depth edge each pixel is: index into ``EDGE_BANDS``, (H, W).

    Distances are the larger of the horizontal and the vertical one, in pixels; the two pixels of an
    edge have distance 0.

    Args:
        gt_depth: Metres, (H, W).
        mask: Boolean, (H, W); edges lie between two valid neighbours.
        ratio: Above 1, see :func:`~depth.evaluation.detail.boundary_counts`.
    """
    on_edge = torch.zeros_like(mask)
    for dim in (0, 1):
        length = mask.shape[dim] - 1
        both = mask.narrow(dim, 0, length) & mask.narrow(dim, 1, length)
        edges = both & (edge_signs(gt_depth, dim, ratio) != 0)
        on_edge.narrow(dim, 0, length).logical_or_(edges)
        on_edge.narrow(dim, 1, length).logical_or_(edges)
    bands = torch.full(mask.shape, len(EDGE_DISTANCES))
    for index in reversed(range(len(EDGE_DISTANCES))):
        radius = EDGE_DISTANCES[index]
        near = F.max_pool2d(on_edge[None].float(), 2 * radius + 1, stride=1, padding=radius)[0] > 0
        bands[near] = index
    return bands


def band_means(error: Tensor, bands: Tensor, mask: Tensor, num_bands: int) -> Tensor:
    """Return the mean error of each band, (num_bands,) float64, NaN where a band is empty.

    Args:
        error: (H, W).
        bands: Index of each pixel's band, (H, W).
        mask: Boolean, (H, W).
        num_bands: Number of bands.
    """
    index = bands[mask]
    sums = torch.bincount(index, weights=error[mask].double(), minlength=num_bands)
    return sums / torch.bincount(index, minlength=num_bands)


def error_counts(pred: Tensor, gt_depth: Tensor, mask: Tensor, edges: Sequence[float]) -> Tensor:
    """Return how many pixels have which relative error at which distance.

    Args:
        pred: Depth in metres, (H, W).
        gt_depth: Metres, (H, W).
        mask: Boolean, (H, W).
        edges: Of the bins of distance, in metres; farther and nearer pixels are left out.

    Returns:
        (number of bins, ``NUM_ERROR_BINS``) int64; the errors (p - g) / g reach from
        -``ERROR_LIMIT`` to ``ERROR_LIMIT``.
    """
    distance, depth = gt_depth[mask], pred[mask]
    error = ((depth - distance) / distance).clamp(-ERROR_LIMIT, ERROR_LIMIT)
    bounds = torch.tensor(edges, dtype=distance.dtype)
    rows = torch.bucketize(distance, bounds, right=True) - 1
    columns = ((error + ERROR_LIMIT) / (2 * ERROR_LIMIT) * NUM_ERROR_BINS).long()
    columns = columns.clamp(max=NUM_ERROR_BINS - 1)
    num_rows = len(edges) - 1
    inside = (rows >= 0) & (rows < num_rows)
    index = rows[inside] * NUM_ERROR_BINS + columns[inside]
    counts = torch.bincount(index, minlength=num_rows * NUM_ERROR_BINS)
    return counts.view(num_rows, NUM_ERROR_BINS)


def error_quantile(counts: Tensor, share: float) -> Tensor:
    """Return a quantile of the error in each bin of distance, (bins,), NaN where it is empty.

    Args:
        counts: Of :func:`error_counts`; counts of several images add up.
        share: From 0 to 1. The result is the centre of the error bin that holds the quantile.
    """
    cumulative = counts.cumsum(dim=1)
    total = cumulative[:, -1:]
    index = (cumulative < share * total).sum(dim=1).clamp(max=NUM_ERROR_BINS - 1)
    centre = (index.double() + 0.5) / NUM_ERROR_BINS * 2 * ERROR_LIMIT - ERROR_LIMIT
    return torch.where(total[:, 0] > 0, centre, torch.nan)


def scale_ratio(pred: Tensor, gt_depth: Tensor, mask: Tensor) -> float:
    """Return the median of prediction / ground truth over the valid pixels, NaN without any."""
    ratios = pred[mask] / gt_depth[mask]
    ratios = ratios[ratios.isfinite()]
    return float(ratios.double().quantile(0.5)) if len(ratios) else math.nan
