"""Metrics by focal length: groups of images, errors of their scale, spread between groups.

A model that guesses the camera from the image is right for the cameras that it was trained with and
wrong by a factor for others. One mean over all images hides that; a mean a group and the spread of
the means show it.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch

# Near half octaves of the focal length in image widths, from 90 to 28 degrees of horizontal view.
# KITTI has 0.58, NYU Depth v2 0.81.
FOCAL_EDGES = (0.5, 0.7, 1.0, 1.4, 2.0)
GROUP_METRICS = ('abs_rel', 'rmse', 'd1', 'scale_error')
SPREAD_METRICS = ('focal_spread', 'scale_spread')


def check_focal_edges(edges: Sequence[float]) -> tuple[float, ...]:
    """Return edges between groups of focal lengths as a tuple.

    Raises:
        ValueError: If they are not growing numbers above 0.
    """
    values = tuple(float(edge) for edge in edges)
    grows = all(low < high for low, high in pairwise(values))
    if not values or not grows or not 0 < values[0] <= values[-1] < math.inf:
        raise ValueError(
            f'focal_edges are growing focal lengths in image widths, above 0, got {list(edges)}'
        )
    return values


def group_names(edges: Sequence[float]) -> list[str]:
    """Return the groups' names, focal lengths in image widths: ``0-0.5w``, ..., ``2-infw``."""
    return [f'{low:g}-{high:g}w' for low, high in pairwise((0.0, *edges, math.inf))]


def focal_share(sample: dict) -> float | None:
    """Return the focal length of ground truth in image widths, None if its camera is unknown.

    Args:
        sample: With ``gt_depth`` (H, W) and ``ori_cam_intrinsic`` (3, 3) of its pixels.
    """
    camera = sample.get('ori_cam_intrinsic')
    if camera is None:
        return None
    share = float(camera[0][0]) / sample['gt_depth'].shape[-1]
    return share if 0 < share < math.inf else None


def group_of(share: float, edges: Sequence[float]) -> str:
    """Return the name of the group of a focal length in image widths; an edge begins a group."""
    return group_names(edges)[sum(share >= edge for edge in edges)]


def group_results(results: Sequence[dict], edges: Sequence[float]) -> dict[str, list[int]]:
    """Return the numbers of the images of each group that has any, shortest focal lengths first.

    Args:
        results: One dict an image, with ``focal`` in image widths.
        edges: Focal lengths between the groups.
    """
    groups: dict[str, list[int]] = {name: [] for name in group_names(edges)}
    for index, result in enumerate(results):
        groups[group_of(result['focal'], edges)].append(index)
    return {name: indices for name, indices in groups.items() if indices}


def scale_errors(log_means: torch.Tensor) -> torch.Tensor:
    """Return factor - 1 of predictions: 0.1 where depth is 10 % too large, as a geometric mean.

    Args:
        log_means: Mean of log prediction - log ground truth of each image.
    """
    return log_means.exp() - 1


def spreads(abs_rels: Sequence[float], errors: Sequence[float]) -> dict[str, float]:
    """Return the spread between the groups.

    Args:
        abs_rels: ``abs_rel`` of each group.
        errors: ``scale_error`` of each group.

    Returns:
        ``focal_spread``, (max - min) / mean of ``abs_rel``, and ``scale_spread``, the ratio of the
        largest to the smallest scale, minus 1.
    """
    mean = math.fsum(abs_rels) / len(abs_rels)
    # A perfect prediction has no spread, and no mean to divide by.
    focal_spread = (max(abs_rels) - min(abs_rels)) / mean if mean > 0 else 0.0
    return dict(focal_spread=focal_spread, scale_spread=(1 + max(errors)) / (1 + min(errors)) - 1)
