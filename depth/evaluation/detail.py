"""Detailed metrics: errors by distance, and precision and recall of depth edges."""

import re
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .functional import valid_pairs

BIN_METRICS = ('abs_rel', 'rmse', 'd1')
_BIN_LABEL = re.compile(r'[\d.e+-]+-[\d.e+-]+m')  # as :func:`bin_names` writes it
BOUNDARY_METRICS = ('boundary_precision', 'boundary_recall', 'boundary_f1')


def bin_names(edges: Sequence[float]) -> list[str]:
    """Return the name of each bin of true depth, as it stands in the metrics' names: ``2-5m``."""
    return [f'{near:g}-{far:g}m' for near, far in pairwise(edges)]


def split_bin_name(name: str) -> tuple[str, str] | None:
    """Return metric and bin of a metric by distance, ``('abs_rel', '2-5m')``; None for another."""
    for metric in BIN_METRICS:
        label = name.removeprefix(f'{metric}_')
        if label != name and _BIN_LABEL.fullmatch(label):
            return metric, label
    return None


def check_bins(edges: Sequence[float]) -> tuple[float, ...]:
    """Return the bin edges as a tuple.

    Raises:
        ValueError: If there are fewer than two or they do not grow.
    """
    edges = tuple(float(edge) for edge in edges)
    if len(edges) < 2 or any(near >= far for near, far in pairwise(edges)):
        raise ValueError(
            f'distance_bins: need at least two growing distances in metres, got {list(edges)}'
        )
    return edges


def bin_moments(pred: Tensor, target: Tensor, mask: Tensor, edges: Sequence[float]) -> Tensor:
    """Return the moments of each bin of true depth.

    They are the count, mean |p - g| / g, mean (p - g)^2, and the share within 1.25.

    Args:
        pred: Predicted depth in metres, (N, H, W), positive where it counts.
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape.
        edges: Of the bins, in metres; a bin includes its near edge.

    Returns:
        (N, number of bins, 4) float64; zeros where a bin is empty.
    """
    p, g, mask = valid_pairs(pred, target, mask)
    absolute = (p - g).abs()
    within = torch.maximum(p / g, g / p) < 1.25
    errors = torch.stack([absolute / g, absolute.square(), within.double()], dim=1)  # (N, 3, P)
    bins = []
    for near, far in pairwise(edges):
        inside = mask & (g >= near) & (g < far)
        count = inside.count_nonzero(dim=1)[:, None]
        sums = torch.where(inside[:, None], errors, 0).sum(dim=2)
        bins.append(torch.cat([count.double(), sums / count.clamp(min=1)], dim=1))
    return torch.stack(bins, dim=1)


def bin_metrics(moments: Tensor) -> dict[str, Tensor]:
    """Return ``BIN_METRICS`` of one bin, (N,) each, from its moments (N, 4); NaN if empty."""
    count, abs_rel, square, d1 = moments.unbind(dim=1)
    metrics = {}
    for name, values in zip(BIN_METRICS, (abs_rel, square.sqrt(), d1), strict=True):
        metrics[name] = torch.where(count > 0, values, torch.nan)
    return metrics


def boundary_counts(pred: Tensor, target: Tensor, mask: Tensor, ratio: float) -> Tensor:
    """Return how many depth edges the prediction has, the ground truth, and both, (N, 3) float64.

    An edge lies between two horizontal or vertical neighbours, both valid, of which one is more
    than ``ratio`` times as far as the other. It is shared if the prediction has an edge between the
    same pixels with the same side in front. A ratio does not depend on the unit, so the result is
    the same for a prediction that is off by a factor.

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
        pred_signs = edge_signs(pred, dim, ratio) * both
        true_signs = edge_signs(target, dim, ratio) * both
        shared = (pred_signs == true_signs) & (true_signs != 0)
        # (N, 3, rows, columns)
        edges = torch.stack([pred_signs != 0, true_signs != 0, shared], dim=1)
        counts.append(edges.flatten(2).sum(dim=2))
    return (counts[0] + counts[1]).double()


def edge_signs(values: Tensor, dim: int, ratio: float) -> Tensor:
    """Return 1 where the second neighbour along ``dim`` is behind, -1 in front, else 0."""
    length = values.shape[dim] - 1
    first, second = values.narrow(dim, 0, length), values.narrow(dim, 1, length)
    # Multiplied, not divided, so that a depth of 0 needs no care.
    is_behind, is_in_front = second > ratio * first, first > ratio * second
    return is_behind.to(torch.int8) - is_in_front.to(torch.int8)


def boundary_metrics(counts: Tensor) -> dict[str, Tensor]:
    """Return precision, recall and F1 from :func:`boundary_counts`, NaN where there is no edge.

    Precision needs an edge in the prediction, recall one in the ground truth, F1 one in either of
    them.
    """
    predicted, true, shared = counts.unbind(dim=-1)
    values = (shared / predicted, shared / true, 2 * shared / (predicted + true))
    return dict(zip(BOUNDARY_METRICS, values, strict=True))
