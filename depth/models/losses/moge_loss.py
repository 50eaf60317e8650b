"""Losses of MoGe-2 on point maps, normals, mask and metric scale.

Point maps are (N, 3, H, W), masks (N, H, W) boolean, True where a label counts. Every function
returns one value per image (N,); none of them needs the points' true scale or shift along z.

Reference: MoGe, https://arxiv.org/abs/2410.19115; MoGe-2, https://arxiv.org/abs/2507.02546; weights
of ``configs/train/v2.json`` of https://github.com/microsoft/MoGe. The losses on local patches are
in ``moge_patch_loss.py``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth.registry import MODELS

from .l1_alignment import align_points, nearest_valid_pixels
from .moge_patch_loss import patch_point_loss

SMALLEST_EDGE_ANGLE = math.radians(0.1)
SMALLEST_NORMAL_ANGLE = math.radians(1)
LARGEST_ANGLE = math.radians(90)
SMOOTH_BELOW = math.radians(3)


def global_point_loss(
    pred: Tensor, target: Tensor, mask: Tensor, align_resolution: int = 48
) -> tuple[Tensor, Tensor]:
    """Return the loss of globally aligned points, and the scale that aligns them.

    Scale and shift along z are those of :func:`align_points` on a square sample. The loss is the
    mean of w |s p + b - t| over all pixels, those without a label counting as 0, and coordinates;
    w = 1 / z, at most ten times its mean.

    Args:
        pred: Predicted points, (N, 3, H, W).
        target: Labelled points, same shape; any finite value where masked out.
        mask: (N, H, W).
        align_resolution: Side of the square sample.

    Returns:
        Loss (N,), 0 where the best scale is not positive, and scale (N,) without a gradient.
    """
    index, sampled = nearest_valid_pixels(mask, align_resolution)
    pred_sample = pred.flatten(2).gather(2, index[:, None].expand(-1, 3, -1))
    target_sample = target.flatten(2).gather(2, index[:, None].expand(-1, 3, -1))
    weight = sampled / target_sample[:, 2].clamp(min=1e-2)
    scale, shift = align_points(pred_sample, target_sample, weight)
    usable = (scale > 0) & sampled.any(dim=1)
    scale, shift = torch.where(usable, scale, 0), torch.where(usable, shift, 0)
    aligned = scale.view(-1, 1, 1, 1) * pred
    aligned = torch.cat([aligned[:, :2], aligned[:, 2:] + shift.view(-1, 1, 1, 1)], dim=1)
    counts = mask & usable.view(-1, 1, 1)
    weight = counts / target[:, 2].clamp(min=1e-5)
    mean_weight = weight.sum((1, 2)) / counts.sum((1, 2)).clamp(min=1)
    weight = torch.minimum(weight, 10 * mean_weight.view(-1, 1, 1))
    error = torch.where(counts[:, None], weight[:, None] * (aligned - target).abs(), 0)
    return error.mean((1, 2, 3)), scale.detach()


def edge_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the loss of the directions between neighbouring points (N,).

    It is the smooth L1 norm of the angle between the differences of prediction and label to the
    right and to the lower neighbour, from 0.1 to 90 degrees, over twice the longer side.

    Args:
        pred: Predicted points, (N, 3, H, W).
        target: Labelled points, same shape.
        mask: (N, H, W).
    """
    total = pred.new_zeros(len(pred))
    for axis in (-1, -2):
        near, far = slice(None, -1), slice(1, None)
        first, second = (..., near), (..., far)
        if axis == -2:
            first, second = (..., near, slice(None)), (..., far, slice(None))
        angle = _angle_between(pred[second] - pred[first], target[second] - target[first])
        error = _smooth_angle(angle, SMALLEST_EDGE_ANGLE)
        total = total + torch.where(mask[first] & mask[second], error, 0).mean((1, 2))
    return total / (2 * max(pred.shape[-2:]))


def normal_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the loss of the surface normals that point maps have (N,).

    Four triangles of each square of neighbouring pixels have a normal; the smooth L1 norm of the
    angle between predicted and labelled one, from 1 to 90 degrees, is divided by four times the
    longer side. The published training does not use it.

    Args:
        pred: Predicted points, (N, 3, H, W).
        target: Labelled points, same shape.
        mask: (N, H, W).
    """
    pred_corners, target_corners, valid_corners = _corners(pred), _corners(target), _corners(mask)
    total = pred.new_zeros(len(pred))
    for corner in range(4):
        next_corner, last_corner = (corner + 1) % 4, (corner + 3) % 4
        normals = []
        for corners in (pred_corners, target_corners):
            first = corners[last_corner] - corners[corner]
            second = corners[next_corner] - corners[corner]
            normals.append(torch.linalg.cross(first, second, dim=1))
        valid = valid_corners[corner] & valid_corners[next_corner] & valid_corners[last_corner]
        error = _smooth_angle(_angle_between(*normals), SMALLEST_NORMAL_ANGLE)
        total = total + torch.where(valid, error, 0).mean((1, 2))
    return total / (4 * max(pred.shape[-2:]))


def normal_map_loss(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the squared angle (N,), radians^2, between two normal maps.

    It is the mean over all pixels, those without a label counting as 0.

    Args:
        pred: Predicted normals, (N, 3, H, W).
        target: Labelled normals, same shape.
        mask: (N, H, W).
    """
    angle = _angle_between(pred, target)
    return torch.where(mask, angle.square(), 0).mean((1, 2))


def mask_loss(pred: Tensor, finite: Tensor, infinite: Tensor) -> Tensor:
    """Return the binary cross entropy (N,) of the mask.

    It is the mean over all pixels, those without a label counting as 0.

    Args:
        pred: Probability of a finite point, (N, H, W).
        finite: Pixels with a finite label, (N, H, W), boolean.
        infinite: Pixels without an end, such as sky, same shape.
    """
    # PyTorch refuses its own function of probabilities under CUDA's autocast.
    pred = pred.clamp(1e-7, 1 - 1e-7)
    error = -torch.log(torch.where(finite, pred, 1 - pred))
    return torch.where(finite | infinite, error, 0).mean((1, 2))


def metric_scale_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Return the squared error (N,) of the logarithm of the metric scale.

    Args:
        pred: Predicted metres per unit, (N,), positive.
        target: Scale that aligns the points with metric labels, (N,); not positive where there is
            none, which gives 0.
    """
    has_target = target > 0
    error = torch.log(pred) - torch.log(torch.where(has_target, target, 1))
    return torch.where(has_target, error, 0).square()


@MODELS.register_module()
class MoGeLoss(nn.Module):
    """Weighted sum of the losses on the outputs of MoGe-2.

    Args:
        global_weight: Weight of the globally aligned points.
        patch_weight: Weight of the points of each level of patches, aligned patch by patch.
        patch_levels: Levels of patches, see :func:`patch_point_loss`. Published are 4, 16 and 64
            for rendered labels, 4 and 16, or 4 alone, for measured ones.
        edge_weight: Weight of the directions between neighbouring points.
        normal_map_weight: Weight of the predicted normals, where samples have labels.
        mask_weight: Weight of the mask.
        scale_weight: Weight of the metric scale; 0 for labels in an unknown unit.
        align_resolution: Side of the sample on which points are aligned; cost grows with its fourth
            power. The sample of a patch of level l has 1 / sqrt(l) of it.

    Raises:
        ValueError: If a level is below 1.
    """

    def __init__(
        self,
        global_weight: float = 1.0,
        patch_weight: float = 1.0,
        patch_levels: Sequence[int] = (4, 16),
        edge_weight: float = 1.0,
        normal_map_weight: float = 0.1,
        mask_weight: float = 0.1,
        scale_weight: float = 0.1,
        align_resolution: int = 48,
    ) -> None:
        super().__init__()
        if any(level < 1 for level in patch_levels):
            raise ValueError(
                f'MoGeLoss: patch_levels are whole numbers from 1 on, got {list(patch_levels)}'
            )
        self.global_weight = global_weight
        self.patch_weight = patch_weight
        self.patch_levels = tuple(patch_levels)
        self.edge_weight = edge_weight
        self.normal_map_weight = normal_map_weight
        self.mask_weight = mask_weight
        self.scale_weight = scale_weight
        self.align_resolution = align_resolution

    def forward(
        self,
        outputs: dict[str, Tensor],
        points: Tensor,
        mask: Tensor,
        sky: Tensor,
        normals: Tensor,
        intrinsics: Tensor,
    ) -> dict[str, Tensor]:
        """Return the weighted losses by name, means over the images.

        Args:
            outputs: Result of the head at the size of the labels.
            points: Labelled points (N, 3, H, W), metres.
            mask: (N, H, W), True where they count.
            sky: (N, H, W), True where there is no end; what is in neither mask is not known.
            normals: Labelled unit normals (N, 3, H, W), 0 = none.
            intrinsics: K (N, 3, 3) of the labelled points, pixels.
        """
        global_error, scale = global_point_loss(
            outputs['points'], points, mask, self.align_resolution
        )
        has_normal = normals.square().sum(1) > 0
        normal_map = normal_map_loss(outputs['normals'], normals, has_normal)
        losses = dict(
            loss_global=self.global_weight * global_error,
            loss_edge=self.edge_weight * edge_loss(outputs['points'], points, mask),
            loss_mask=self.mask_weight * mask_loss(outputs['mask'][:, 0], mask, sky),
            loss_scale=self.scale_weight * metric_scale_loss(outputs['metric_scale'], scale),
            loss_normal_map=self.normal_map_weight * normal_map,
        )
        for level in self.patch_levels:
            error = patch_point_loss(
                outputs['points'],
                points,
                mask,
                intrinsics,
                scale,
                level,
                max(round(self.align_resolution / math.sqrt(level)), 1),
            )
            losses[f'loss_patch_{level}'] = self.patch_weight * error
        return {name: value.mean() for name, value in losses.items()}


def _corners(maps: Tensor) -> list[Tensor]:
    """Return the corners of all squares of four pixels, in order around the square."""
    return [maps[..., :-1, :-1], maps[..., :-1, 1:], maps[..., 1:, 1:], maps[..., 1:, :-1]]


def _angle_between(first: Tensor, second: Tensor) -> Tensor:
    """Return the angle between vectors (N, 3, h, w) in radians, stable for small ones."""
    cross = torch.linalg.cross(first, second, dim=1)
    # The slope of a norm at zero is not finite.
    sine = torch.sqrt(cross.square().sum(1).clamp(min=1e-24))
    return torch.atan2(sine, (first * second).sum(1))


def _smooth_angle(angle: Tensor, smallest: float) -> Tensor:
    """Return the smooth L1 norm, without a factor 1 / 3 degrees, of angles clamped from below."""
    angle = angle.clamp(smallest, LARGEST_ANGLE)
    quadratic = 0.5 * angle.square() / SMOOTH_BELOW
    return torch.where(angle < SMOOTH_BELOW, quadratic, angle - 0.5 * SMOOTH_BELOW)
