"""Exact weighted L1 alignment: the scale, and shift, with the least sum of truncated errors.

Every problem here minimises a piecewise linear function. Its minimum is where the error of a point
(two points, with a shift) is zero, so it is found among finitely many candidates, and the gradient
flows through the points selected. Maps are aligned on a sample: a grid of their valid pixels.

Reference: MoGe, https://arxiv.org/abs/2410.19115, appendix on the alignment solvers.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-7
# Anchors times points whose ratios are sorted at once.
MAX_PAIRS = 1 << 21


def nearest_valid_pixels(mask: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return for each cell of a square grid the valid pixel nearest to the cell's centre.

    Candidates are the pixels of the window of the cell's size, rounded up, at the cell's rounded
    corner.

    Args:
        mask: (N, H, W), boolean.
        side: Rows and columns of the grid.

    Returns:
        Flat index of the pixel (N, side^2), and whether the window holds a valid one.
    """
    height, width = mask.shape[-2:]
    rows, row_offsets = _windows(height, side, mask.device)  # (side, window)
    columns, column_offsets = _windows(width, side, mask.device)
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & (
        (columns >= 0) & (columns < width)
    )[None, :, None, :]  # (side, side, window, window)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    index = rows[:, None, :, None] * width + columns[None, :, None, :]
    distance = row_offsets.square()[:, None, :, None] + column_offsets.square()[None, :, None, :]
    index, inside = index.flatten(2).flatten(0, 1), inside.flatten(2).flatten(0, 1)
    valid = mask.flatten(1)[:, index] & inside  # (N, side^2, window^2)
    distance = torch.where(valid, distance.flatten(2).flatten(0, 1), torch.inf)
    nearest = distance.argmin(dim=-1, keepdim=True)
    return index.expand(len(mask), -1, -1).gather(2, nearest).squeeze(2), valid.any(dim=-1)


def align_scale(
    pred: Tensor, target: Tensor, weight: Tensor, truncation: float | None = None
) -> Tensor:
    """Return the scale s (...,) with the least sum of min(truncation, w |s p - t|).

    Args:
        pred: (..., L).
        target: Same shape.
        weight: Same shape, not negative; 0 leaves a value out.
        truncation: Largest error of a value; None for no limit.

    The scale is the ratio t / p of the value selected, with its gradient.
    """
    index, _ = _best_ratio(pred.detach(), target.detach(), weight.detach(), truncation)
    return _quotient(_at(target, index), _at(pred, index))


def align_points(
    pred: Tensor, target: Tensor, weight: Tensor, truncation: float | None = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the scale s (N,) and the shift along z (N,) that bring points closest to a target.

    The sum of min(truncation, w |s p + (0, 0, b) - t|) runs over the coordinates one by one.

    Args:
        pred: (N, C, L), z last; C is 3 for points and 1 for depths.
        target: Same shape.
        weight: (N, L), not negative; 0 leaves a point out.
        truncation: Largest error of a coordinate; None for no limit.

    Raises:
        ValueError: If the shapes differ.
    """
    scale, shift = _align_to_anchors(pred, target, weight, truncation, 1)
    return scale, shift[:, 0]


def align_points_freely(
    pred: Tensor, target: Tensor, weight: Tensor, truncation: float | None = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the scale s (N,) and the shift b (N, 3) that bring points closest to a target.

    The sum of min(truncation, w |s p + b - t|) runs over the three coordinates one by one. As
    published, one of the points is met exactly by the shift; among these candidates the result is
    the best. Three points, one for each axis, could be better, and would take L^3 candidates.

    Args:
        pred: (N, 3, L).
        target: Same shape.
        weight: (N, L), not negative; 0 leaves a point out.
        truncation: Largest error of a coordinate; None for no limit.

    Raises:
        ValueError: If the shapes differ.
    """
    return _align_to_anchors(pred, target, weight, truncation, 3)


def _align_to_anchors(
    pred: Tensor, target: Tensor, weight: Tensor, truncation: float | None, num_shifted: int
) -> tuple[Tensor, Tensor]:
    """Return scale (N,) and shift (N, S) of the last S of D coordinates (N, D, L).

    The other coordinates keep no shift. For the best scale the best shift makes the error of one
    value zero. With each point as this anchor the shift is eliminated, and the scale is a problem
    of one unknown.
    """
    if pred.shape != target.shape or weight.shape != pred.shape[::2]:
        raise ValueError(
            'prediction and target have the same shape (N, D, L) and weights (N, L), got '
            f'{tuple(pred.shape)}, {tuple(target.shape)} and {tuple(weight.shape)}'
        )
    num_images, num_coords, num_points = pred.shape
    with torch.no_grad():
        best = pred.new_full((num_images,), torch.inf, dtype=torch.float64)
        best_anchor = torch.zeros(num_images, dtype=torch.long, device=pred.device)
        best_index = torch.zeros_like(best_anchor)
        # (N, 1, D * L), the shifted coordinate last.
        weights = weight[:, None].expand(-1, num_coords, -1).flatten(1)[:, None]
        step = max(1, MAX_PAIRS // (num_images * num_coords * num_points))
        for first in range(0, num_points, step):
            anchors = slice(first, min(first + step, num_points))
            relative_pred = _subtract_anchors(pred, anchors, num_shifted)
            relative_target = _subtract_anchors(target, anchors, num_shifted)
            index, error = _best_ratio(
                relative_pred, relative_target, weights.expand_as(relative_pred), truncation
            )
            error = torch.where(weight[:, anchors] > 0, error, torch.inf)
            chunk_best, chunk_anchor = error.min(dim=1)
            better = chunk_best < best
            best = torch.where(better, chunk_best, best)
            best_anchor = torch.where(better, chunk_anchor + first, best_anchor)
            best_index = torch.where(better, _at(index, chunk_anchor), best_index)
    anchor_index = best_anchor[:, None, None].expand(-1, num_coords, 1)
    anchor_pred = pred.gather(2, anchor_index)[..., 0]  # (N, D)
    anchor_target = target.gather(2, anchor_index)[..., 0]
    # Only shifted coordinates are relative to the anchor.
    coordinate = best_index // num_points
    shifted = coordinate >= num_coords - num_shifted
    run = _at(pred.flatten(1), best_index)
    run = run - torch.where(shifted, _at(anchor_pred, coordinate), 0)
    rise = _at(target.flatten(1), best_index)
    rise = rise - torch.where(shifted, _at(anchor_target, coordinate), 0)
    scale = _quotient(rise, run)
    shift = anchor_target - scale[:, None] * anchor_pred
    return scale, shift[:, -num_shifted:]


def _subtract_anchors(values: Tensor, anchors: slice, num_shifted: int) -> Tensor:
    """Return (N, A, D * L): the coordinates, the last S of them relative to each of A anchors."""
    num_fixed = values.shape[1] - num_shifted
    anchor_values = values[:, num_fixed:, anchors].transpose(1, 2)  # (N, A, S)
    relative = values[:, None, num_fixed:] - anchor_values[..., None]  # (N, A, S, L)
    fixed = values[:, None, :num_fixed].expand(-1, relative.shape[1], -1, -1)
    return torch.cat([fixed, relative], dim=2).flatten(2)


def _best_ratio(
    pred: Tensor, target: Tensor, weight: Tensor, truncation: float | None
) -> tuple[Tensor, Tensor]:
    """Return the index (...) of the value whose ratio t / p is the best scale, and the error there.

    Args:
        pred: (..., L).
        target: Same shape.
        weight: Same shape.
        truncation: See :func:`align_scale`.
    """
    # Sums over many terms of both signs: in float32 they would blur the order of candidates.
    pred, target, weight = pred.double(), target.double(), weight.double()
    sign = torch.where(pred < 0, -1, 1)
    pred, target = pred * sign, target * sign
    usable = (weight > 0) & (pred > EPS)
    slope = torch.where(usable, weight * pred, 0)
    # Values of no slope are sorted to the end, where they change nothing.
    ratio = torch.where(usable, target / pred.clamp(min=EPS), torch.inf)
    if truncation is None:
        order = ratio.argsort(dim=-1)
        rising = slope.gather(-1, order).cumsum(-1)
        # Weighted median: the first ratio at which the slope of the sum is no longer negative.
        rank = (2 * rising < rising[..., -1:]).sum(-1).clamp(max=pred.shape[-1] - 1)
        index = _at(order, rank)
        scale = _quotient(_at(target, index), _at(pred, index))
        return index, (weight * (scale[..., None] * pred - target).abs()).sum(-1)
    return _best_truncated_ratio(ratio, slope, weight * target.abs(), usable, truncation)


def _best_truncated_ratio(
    ratio: Tensor, slope: Tensor, level: Tensor, usable: Tensor, truncation: float
) -> tuple[Tensor, Tensor]:
    """Return index and error of the best candidate for truncated errors.

    The sum is swept from left to right: each error falls from its limit, turns at its ratio, and
    rises to its limit again, so that the slope of the sum changes at three places a value.

    Args:
        ratio: Where each error is zero (..., L); infinity for values that are left out.
        slope: Slope of each error beside its ratio.
        level: Error at the scale 0 of a value without slope.
        usable: Whether a value has a slope.
        truncation: Limit of an error.
    """
    half_width = truncation / slope.clamp(min=1e-30)
    # Where a value is left out, the infinite ratio sorts its places to the end.
    breakpoints = torch.cat([ratio - half_width, ratio, ratio + half_width], dim=-1)
    changes = torch.cat([-slope, 2 * slope, -slope], dim=-1)
    sorted_breakpoints, order = breakpoints.sort(dim=-1)
    gaps = (sorted_breakpoints[..., 1:] - sorted_breakpoints[..., :-1]).nan_to_num(0, 0, 0)
    slopes = changes.gather(-1, order).cumsum(-1)[..., :-1]
    relative = F.pad((slopes * gaps).cumsum(-1), (1, 0))
    # Left of all places every usable error is at its limit.
    num_points = ratio.shape[-1]
    constant = torch.where(usable, truncation, level.clamp(max=truncation)).sum(-1)
    is_turn = (order // num_points == 1) & sorted_breakpoints.isfinite()
    error, rank = torch.where(is_turn, relative, torch.inf).min(-1)
    return _at(order, rank) % num_points, error + constant


def _quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return numerator / denominator, whose absolute value is at least ``EPS``."""
    sign = torch.where(denominator < 0, -1, 1)
    return numerator * sign / (denominator * sign).clamp(min=EPS)


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Return the entry of the last dimension at each index (...)."""
    return values.gather(-1, index.unsqueeze(-1)).squeeze(-1)


def _windows(length: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the pixels (cells, window) of each cell's window and their distances to its centre."""
    size = length / cells
    centers = (torch.arange(cells, device=device) + 0.5) * size
    starts = torch.round(centers - size / 2).long()
    pixels = starts[:, None] + torch.arange(math.ceil(size), device=device)
    return pixels, pixels + 0.5 - centers[:, None]
