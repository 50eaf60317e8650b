"""Where in an image the errors are: by distance and at depth edges."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

BIN_METRICS = ('abs_rel', 'rmse', 'd1')
NUM_BIN_MOMENTS = 4
BOUNDARY_METRICS = ('boundary_precision', 'boundary_recall', 'boundary_f1')


def bin_names(edges: Sequence[float]) -> list[str]:
    """Return what stands in the metrics' names for each bin of true depth: ``2-5m``."""
    return [f'{near:g}-{far:g}m' for near, far in pairwise(edges)]


def check_bins(edges: Sequence[float]) -> tuple[float, ...]:
    """Return the bin edges as a tuple.

    Raises:
        ValueError: If there are fewer than two or they do not grow.
    """
    edges = tuple(float(edge) for edge in edges)
    if len(edges) < 2 or any(near >= far for near, far in pairwise(edges)):
        raise ValueError(f'distance_bins: need at least two growing distances in metres, got {list(edges)}')
    return edges


def bin_moments(pred: Tensor, target: Tensor, mask: Tensor, edges: Sequence[float]) -> Tensor:
    """Return count, mean |p - g| / g, mean (p - g)^2 and the share within 1.25 of each bin of true depth.

    Args:
        pred: Predicted depth in metres, (N, H, W), positive where it counts.
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape.
        edges: Of the bins, in metres; a bin includes its near edge.

    Returns:
        (N, 4 * number of bins) float64, bin after bin; zeros where a bin is empty.
    """
    mask, p, g = (values.flatten(1) for values in (mask, pred, target))
    p, g = torch.where(mask, p, 1).double(), torch.where(mask, g, 1).double()
    absolute = (p - g).abs()
    errors = torch.stack(
        [torch.ones_like(p), absolute / g, absolute.square(), (torch.maximum(p / g, g / p) < 1.25).double()]
    )
    columns = []
    for near, far in pairwise(edges):
        inside = mask & (g >= near) & (g < far)
        count, *sums = torch.where(inside, errors, 0).sum(dim=2)
        columns.extend([count, *(total / count.clamp(min=1) for total in sums)])
    return torch.stack(columns, dim=1)


def boundary_counts(pred: Tensor, target: Tensor, mask: Tensor, ratio: float) -> Tensor:
    """Return how many depth edges the prediction has, the ground truth has, and both share, (N, 3) float64.

    An edge lies between two horizontal or vertical neighbours, both valid, of which one is more than ``ratio`` times as
    far as the other. It is shared if the prediction has one at exactly the same place with the same side in front.
    A ratio does not depend on the unit, so the result is the same for a prediction that is off by a factor.

    Args:
        pred: Predicted depth, (N, H, W), positive where it counts.
        target: Ground truth, same shape.
        mask: Boolean, same shape.
        ratio: Above 1.
    """
    counts = []
    for dim in (1, 2):
        length = mask.shape[dim] - 1
        both = mask.narrow(dim, 0, length) & mask.narrow(dim, 1, length)
        found, true = (edge_signs(values, dim, ratio) * both for values in (pred, target))
        shared = (found == true) & (true != 0)
        counts.append(torch.stack([found != 0, true != 0, shared], dim=1).flatten(2).sum(dim=2))
    return (counts[0] + counts[1]).double()


def edge_signs(values: Tensor, dim: int, ratio: float) -> Tensor:
    """Return 1 where the second neighbour along ``dim`` is behind, -1 where it is in front, 0 without an edge."""
    length = values.shape[dim] - 1
    first, second = values.narrow(dim, 0, length), values.narrow(dim, 1, length)
    return (second > ratio * first).to(torch.int8) - (first > ratio * second).to(torch.int8)


def boundary_metrics(counts: Tensor) -> dict[str, Tensor]:
    """Return precision, recall and F1 from :func:`boundary_counts`, NaN where there are no edges to judge by.

    Precision needs an edge in the prediction, recall one in the ground truth, F1 one in either.
    """
    found, true, shared = counts.unbind(dim=-1)
    values = (shared / found, shared / true, 2 * shared / (found + true))
    return dict(zip(BOUNDARY_METRICS, values, strict=True))
