"""MoGe's loss on local patches of a point map, each aligned by a scale and a shift of its own.

A globally aligned loss sees little of the shape of small and near things. So random pixels with a
label are drawn as anchors; the points around each, in the image and in space, are a patch, which is
aligned to its labels before it is compared. The anchors are random: two calls differ unless torch
is seeded.

Reference: MoGe, https://arxiv.org/abs/2410.19115, section 3.3; weights, numbers of anchors and
importance sampling of MoGe-2 as in ``configs/train/v2.json`` of https://github.com/microsoft/MoGe.
"""

import math

import torch
from torch import Tensor

from .l1_alignment import align_points_freely, nearest_valid_pixels

NUM_TESTS = 64  # random pixels by which the number of neighbours of a point is estimated
MIN_POINTS = 32  # of a patch
# A patch whose scale differs more from that of the whole map is a misfit and does not count.
SMALLEST_RATIO, LARGEST_RATIO = 0.1, 10.0


def patch_point_loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    intrinsics: Tensor,
    global_scale: Tensor,
    level: int,
    align_resolution: int,
) -> Tensor:
    """Return the loss (N,) of level^2 random patches of each point map.

    Args:
        pred: Predicted points, (N, 3, H, W).
        target: Labelled points, same shape; any finite value where masked out.
        mask: (N, H, W), boolean; True where a label counts.
        intrinsics: K (N, 3, 3) of the labels, pixels.
        global_scale: Scale (N,) that aligns the whole map, not positive where there is none.
        level: A patch spans a ``level``-th of the image's diagonal, and as much in space.
        align_resolution: Side of the square sample on which a patch is aligned.
    """
    radius_px = patch_radius(mask.shape[-2:], level)
    radius = radius_in_space(target, intrinsics, level)
    anchors = draw_anchors(target, mask, radius, radius_px, level**2)
    return loss_at_anchors(
        pred, target, mask, radius, global_scale, anchors, radius_px, align_resolution
    )


def patch_radius(size: tuple[int, int], level: int) -> int:
    """Return half a patch's side in pixels: half a ``level``-th of the diagonal, rounded up."""
    return math.ceil(0.5 / level * math.hypot(*size))


def radius_in_space(target: Tensor, intrinsics: Tensor, level: int) -> Tensor:
    """Return the radius (N, H, W) of a patch around each point, in the unit of the points.

    It is what half a ``level``-th of the image's diagonal spans at the point's depth.
    """
    height, width = target.shape[-2:]
    diagonal = torch.hypot(width / intrinsics[:, 0, 0], height / intrinsics[:, 1, 1])  # at z = 1
    return 0.5 / level * diagonal.view(-1, 1, 1) * target[:, 2]


@torch.no_grad()
def draw_anchors(
    target: Tensor, mask: Tensor, radius: Tensor, radius_px: int, num_anchors: int
) -> Tensor:
    """Draw pixels with a label, with replacement, the more often the fewer neighbours they have.

    The neighbours of a point are those of ``NUM_TESTS`` random pixels of its window that lie within
    its radius in space; a point without one counts as having one.

    Args:
        target: Labelled points, (N, 3, H, W).
        mask: (N, H, W).
        radius: Radius in space of each point, (N, H, W).
        radius_px: Half the side of the window, pixels.
        num_anchors: Number A of pixels of each image.

    Returns:
        Flat indices (N, A); of pixels without a label in an image that has none at all.
    """
    height, width = target.shape[-2:]
    # Pixels first: a test reads a point of every image, and whether it counts, from one row.
    flat_mask = mask.flatten(1)
    table = torch.cat([target.flatten(2), flat_mask[:, None].to(target.dtype)], dim=1)
    table = table.permute(2, 0, 1).contiguous()  # (H W, N, 4)
    squared_radius = radius.flatten(1).t().square()  # (H W, N)
    row = torch.arange(height, device=target.device).view(-1, 1)
    column = torch.arange(width, device=target.device)
    neighbours = torch.zeros_like(squared_radius)
    for _ in range(NUM_TESTS):
        offsets = torch.randint(-radius_px, radius_px + 1, (2, height, width), device=target.device)
        index, inside = _flat_index(row + offsets[0], column + offsets[1], height, width)
        tested = table.index_select(0, index.flatten())
        squared_distance = (tested - table)[..., :3].square().sum(dim=-1)
        is_near = (squared_distance <= squared_radius) & (tested[..., 3] > 0)
        neighbours += is_near & inside.view(-1, 1)
    neighbours = neighbours.t()
    weight = flat_mask / neighbours.clamp(min=1)
    # A multinomial draw needs a positive weight, also in an image without labels.
    weight = torch.where(flat_mask.any(dim=1, keepdim=True), weight, 1)
    return torch.multinomial(weight, num_anchors, replacement=True)


def loss_at_anchors(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    radius: Tensor,
    global_scale: Tensor,
    anchors: Tensor,
    radius_px: int,
    align_resolution: int,
) -> Tensor:
    """Return the mean over anchors (N,) of the L1 error of their aligned patches.

    A patch is aligned by a scale and a shift along all axes. Its errors are weighted by 1 / z of
    the label, z at least a tenth of the image's harmonic mean, and averaged over the coordinates of
    all pixels of the window, those outside of the patch counting as 0.

    Args:
        pred: Predicted points, (N, 3, H, W).
        target: Labelled points, same shape.
        mask: (N, H, W).
        radius: Radius in space of the patch at each pixel, (N, H, W).
        global_scale: See :func:`patch_point_loss`.
        anchors: Flat indices (N, A) of pixels.
        radius_px: Half the side of the window in pixels.
        align_resolution: Side of the square sample on which a patch is aligned.
    """
    num_images, _, height, width = target.shape
    num_anchors, side = anchors.shape[1], 2 * radius_px + 1
    offset = torch.arange(-radius_px, radius_px + 1, device=target.device)
    rows = (anchors // width)[..., None, None] + offset[:, None]  # (N, A, side, 1)
    columns = (anchors % width)[..., None, None] + offset  # (N, A, 1, side)
    index, inside = _flat_index(rows, columns, height, width)  # (N, A, side, side)
    index, inside = index.flatten(1), inside.flatten(1)

    def cut(maps: Tensor) -> Tensor:
        """Return the windows (N A, 3, side^2) of maps (N, 3, H, W)."""
        windows = maps.flatten(2).gather(2, index[:, None].expand(-1, 3, -1))
        windows = windows.view(num_images, 3, num_anchors, -1)
        return windows.transpose(1, 2).flatten(0, 1)

    pred_patch, target_patch = cut(pred), cut(target)
    center = target_patch[..., target_patch.shape[-1] // 2, None]  # the anchor itself
    anchor_radius = radius.flatten(1).gather(1, anchors).view(-1, 1)
    is_near = (target_patch - center).norm(dim=1) <= anchor_radius
    usable = mask.flatten(1).gather(1, index) & inside
    usable = usable.view(-1, side**2) & is_near
    usable = usable & (usable.sum(dim=1, keepdim=True) >= MIN_POINTS)

    sample, sampled = nearest_valid_pixels(usable.view(-1, side, side), align_resolution)
    sample = sample[:, None].expand(-1, 3, -1)
    weight = sampled / (anchor_radius + 1e-7)
    scale, shift = align_points_freely(
        pred_patch.gather(2, sample), target_patch.gather(2, sample), weight
    )
    whole_scale = global_scale.repeat_interleave(num_anchors)
    ratio = scale / torch.where(whole_scale > 0, whole_scale, 1)
    fits = (whole_scale > 0) & (ratio > SMALLEST_RATIO) & (ratio < LARGEST_RATIO)
    usable = usable & fits[:, None]
    # The shift of a misfit can be huge; 0 keeps its gradient finite.
    scale, shift = torch.where(fits, scale, 0), torch.where(fits[:, None], shift, 0)
    aligned = scale.view(-1, 1, 1) * pred_patch + shift[..., None]

    inverse_depth = torch.where(mask, 1 / target[:, 2].clamp(min=1e-5), 0)
    harmonic_mean = mask.sum((1, 2)) / inverse_depth.sum((1, 2)).clamp(min=1e-12)
    nearest = (0.1 * harmonic_mean).clamp(min=1e-5).repeat_interleave(num_anchors)
    depth = torch.maximum(target_patch[:, 2], nearest[:, None])
    error = torch.where(usable[:, None], (aligned - target_patch).abs() / depth[:, None], 0)
    return error.mean((1, 2)).view(num_images, num_anchors).mean(1)


def _flat_index(rows: Tensor, columns: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return flat indices of pixels, clamped into the image, and whether they lie inside of it."""
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1), inside
