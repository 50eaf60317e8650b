"""Losses of Metric3D v1 and v2 on depth, confidence and surface normals.

All of them are averages over labelled pixels; a batch without labels gives 0 without a gradient.
The regions and triangles are random, so two calls differ unless torch is seeded.

Reference: Metric3D, https://arxiv.org/abs/2307.10984, and Metric3D v2,
https://arxiv.org/abs/2404.15506.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from depth.registry import MODELS

from ..layers.surface_normals import back_project, normals_from_depth
from .relative_depth_loss import masked_mean, masked_median

EPS = 1e-6
NUM_PLANES = 256  # numbers that labels of planes, uint8, can have


def iteration_weights(count: int, gamma: float = 0.9) -> list[float]:
    """Return the weights of ``count`` successive predictions; the last one has 1.

    The first weight is ``gamma ** 15`` whatever the count, as in RAFT-Stereo.
    """
    if count == 1:
        return [1.0]
    decay = gamma ** (15 / (count - 1))
    return [decay ** (count - 1 - index) for index in range(count)]


def depth_sequence_loss(
    depths: Sequence[Tensor],
    confidences: Sequence[Tensor],
    target: Tensor,
    mask: Tensor,
    gamma: float = 0.9,
) -> Tensor:
    """Return the weighted sum over iterations of mean |depth - target| and a confidence loss.

    The confidence should be ``1 - |depth - target| / target``; it is trained where that is above 0.

    Args:
        depths: Predictions (N, 1, H, W) of the successive iterations, metres.
        confidences: Predictions (N, 1, H, W), raw.
        target: (N, 1, H, W), metres.
        mask: Boolean, same shape; True where ``target`` counts.
        gamma: See :func:`iteration_weights`.
    """
    target = torch.where(mask, target, 1)
    total = target.new_zeros(())
    weights = iteration_weights(len(depths), gamma)
    for weight, depth, confidence in zip(weights, depths, confidences, strict=True):
        error = (depth - target).abs()
        trusted = mask & (error < target)
        confidence_error = (confidence - (1 - error / target)).abs()
        total = total + weight * (_mean(error, mask) + _mean(confidence_error, trusted))
    return total


def normal_sequence_loss(
    predictions: Sequence[Tensor], target: Tensor, gamma: float = 0.9
) -> Tensor:
    """Return the weighted sum over iterations of the negative log likelihood of normals.

    With the angle a to the target and the concentration k it is
    ``-log(k^2 + 1) + k a + log(1 + exp(-k pi))``; pixels with |cos a| above 0.999 do not count,
    where the gradient of the angle explodes.

    Args:
        predictions: Unit normals and concentration (N, 4, H, W) of the successive iterations.
        target: Unit normals (N, 3, H, W), 0 = no label.
        gamma: See :func:`iteration_weights`.

    Reference: Bae et al., https://arxiv.org/abs/2109.09881
    """
    labelled = (target != 0).any(dim=1, keepdim=True)
    total = target.new_zeros(())
    weights = iteration_weights(len(predictions), gamma)
    for weight, prediction in zip(weights, predictions, strict=True):
        kappa = prediction[:, 3:]
        cosine = (prediction[:, :3] * target).sum(dim=1, keepdim=True)
        mask = labelled & (cosine.detach().abs() < 0.999)
        angle = torch.where(mask, cosine, 0).acos()
        likelihood = -(kappa.square() + 1).log() + kappa * angle
        likelihood = likelihood + (-math.pi * kappa).exp().log1p()
        total = total + weight * _mean(likelihood, mask)
    return total


def depth_normal_consistency_loss(
    normals: Tensor, depth: Tensor, mask: Tensor, intrinsics: Tensor
) -> Tensor:
    """Return the mean of 1 - cosine between predicted normals and those of the predicted depth.

    Args:
        normals: Unit normals (N, 3, H, W) in camera axes.
        depth: (N, 1, H, W), in metres of any scale.
        mask: Boolean (N, 1, H, W); True where depth was labelled.
        intrinsics: K (N, 3, 3) in pixels.
    """
    from_depth = normals_from_depth(depth, intrinsics)
    cosine = (normals * from_depth).sum(dim=1, keepdim=True)
    return _mean(1 - cosine, mask)


def virtual_normal_loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    intrinsics: Tensor,
    sample_ratio: float = 0.2,
    max_cosine: float = 0.867,
    min_extent: float = 0.005,
    dropped: float = 0.25,
) -> Tensor:
    """Return the mean L1 distance of the unit normals of random triangles of the point clouds.

    Triangles that are tiny or nearly collinear in the target do not count, nor does the share
    ``dropped`` of the others whose errors are the smallest.

    Args:
        pred: Predicted depth (N, 1, H, W), metres of any scale.
        target: Same shape and scale.
        mask: Boolean, same shape; True where ``target`` counts.
        intrinsics: K (N, 3, 3) in pixels.
        sample_ratio: Number of triangles as a share of the pixels of an image.
        max_cosine: Largest cosine between two sides.
        min_extent: Least extent of a triangle along one of the axes, metres.
        dropped: Share of the errors that is left out, the smallest ones.

    Reference: Virtual normal, https://arxiv.org/abs/1907.12209
    """
    flat_mask = mask.flatten(1)  # (N, L)
    corners = _random_corners(flat_mask, max(int(flat_mask.shape[1] * sample_ratio), 1))
    # One back-projection for both; a masked target gets 1 m, so that its points stay finite.
    depth_pair = torch.cat([pred, torch.where(mask, target, 1)])
    points = back_project(depth_pair, intrinsics.repeat(2, 1, 1)).flatten(2)  # (2 N, 3, L)
    triangles = [
        points.gather(2, index.repeat(2, 1).unsqueeze(1).expand(-1, 3, -1)) for index in corners
    ]
    sides = [
        triangles[1] - triangles[0],
        triangles[2] - triangles[0],
        triangles[2] - triangles[1],
    ]
    pred_normal, target_normal = _unit(torch.linalg.cross(sides[0], sides[1], dim=1)).chunk(2)
    usable = flat_mask.gather(1, corners[0])
    for index in corners[1:]:
        usable = usable & flat_mask.gather(1, index)
    usable = usable & _is_proper([side.chunk(2)[1] for side in sides], max_cosine, min_extent)
    error = (pred_normal - target_normal).abs().sum(dim=1)  # (N, T)
    # Sorted with the unusable ones last, so that ranks need no boolean indexing.
    ordered = torch.where(usable, error, torch.inf).flatten().sort().values
    count = usable.sum()
    rank = torch.arange(len(ordered), device=ordered.device)
    in_range = (rank >= (count * dropped).floor()) & (rank < count)
    return _mean(ordered, in_range)


def _random_corners(flat_mask: Tensor, count: int) -> list[Tensor]:
    """Return three lists (N, count) of random distinct pixels, labelled ones (N, L) first."""
    corners = []
    for _ in range(3):
        # Keys of labelled pixels are in [1, 2), all others in [0, 1): the largest are labelled
        # ones.
        keys = torch.rand(flat_mask.shape, device=flat_mask.device) + flat_mask
        corners.append(keys.topk(count, dim=1).indices)
    return corners


def _is_proper(sides: Sequence[Tensor], max_cosine: float, min_extent: float) -> Tensor:
    """Return whether triangles of three sides (N, 3, T) are neither tiny nor collinear: (N, T)."""
    is_tiny = torch.ones_like(sides[0][:, 0], dtype=torch.bool)
    for axis in range(3):
        extents = torch.stack([side[:, axis].abs() for side in sides])
        is_tiny = is_tiny & (extents < min_extent).any(dim=0)
    is_collinear = torch.zeros_like(is_tiny)
    directions = [_unit(side) for side in sides]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        cosine = (directions[first] * directions[second]).sum(dim=1)
        is_collinear = is_collinear | (cosine.abs() > max_cosine)
    return ~(is_tiny | is_collinear)


def _unit(vectors: Tensor) -> Tensor:
    """Normalise (N, 3, T); the gradient stays finite for zero vectors."""
    return vectors / vectors.square().sum(dim=1, keepdim=True).clamp(min=1e-16).sqrt()


def region_loss(pred: Tensor, target: Tensor, regions: Iterable[Tensor]) -> Tensor:
    """Return the L1 distance of maps normalised within each region, averaged over all pixels.

    Both maps are normalised by their median and mean absolute deviation in the region; the median
    of the prediction carries no gradient, as published.

    Args:
        pred: Predictions (N, 1, H, W), known up to scale and shift.
        target: Same shape.
        regions: Boolean masks (N, 1, H, W) of labelled pixels, which may overlap.

    Reference: Hierarchical depth normalisation, https://arxiv.org/abs/2210.09670
    """
    total, count = 0.0, 0
    for region in regions:
        error = _normalize(pred, region) - _normalize(target, region)
        total = total + error.abs().sum()
        count = count + region.sum()
    return total / (count + EPS)


def _normalize(values: Tensor, mask: Tensor) -> Tensor:
    """Return (x - median) / mean |x - median| of each image (N, 1, H, W), 0 where masked out."""
    centered = values - masked_median(values.detach(), mask)
    deviation = masked_mean(centered.abs(), mask)
    return torch.where(mask, centered / (deviation + EPS), 0)


def random_depth_ranges(target: Tensor, mask: Tensor, num_ranges: int) -> Iterator[Tensor]:
    """Yield ``num_ranges`` masks (N, 1, H, W), each of a random depth range of every image.

    The near end is within the first three quarters of the image's range, and the far end at least
    a tenth of that range beyond it.
    """
    nearest = torch.where(mask, target, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
    farthest = torch.where(mask, target, 0).amax(dim=(1, 2, 3), keepdim=True)
    for _ in range(num_ranges):
        low, high = torch.rand(2, *nearest.shape, device=target.device)
        low = 0.75 * low
        # Between a tenth of the range above the near end and the far end of the image.
        high = low + 0.1 + (0.9 - low) * high
        extent = farthest - nearest
        near, far = nearest + low * extent, nearest + high * extent
        yield mask & (target >= near) & (target < far)


def random_rectangles(mask: Tensor, num_rectangles: int) -> Iterator[Tensor]:
    """Yield ``mask`` (N, 1, H, W) within ``num_rectangles`` random rectangles of every image.

    Sides are an eighth to a half of the image's, cut at its border.
    """
    count, _, height, width = mask.shape
    for _ in range(num_rectangles):
        inside = mask
        for length, shape in ((height, (1, 1, -1, 1)), (width, (1, 1, 1, -1))):
            start, side = torch.rand(2, count, 1, 1, 1, device=mask.device)
            start, side = 0.875 * start * length, (0.125 + 0.375 * side) * length
            # Comparisons with start and end; slices of random length would wait for the device.
            position = torch.arange(length, device=mask.device).view(shape)
            inside = inside & (position >= start) & (position < start + side)
        yield inside


def sky_sequence_loss(
    depths: Sequence[Tensor],
    normals: Sequence[Tensor],
    sky: Tensor,
    far: float = 200.0,
    gamma: float = 0.9,
) -> Tensor:
    """Return the weighted sum over iterations of mean |depth - far| and 1 - cosine over the sky.

    The sky is as far as depth goes, and its normals point back along the optical axis.

    Args:
        depths: Predictions (N, 1, H, W) of the successive iterations, canonical metres.
        normals: Predictions (N, C, H, W) whose first three channels are unit normals.
        sky: Boolean (N, 1, H, W).
        far: Far end of canonical depth, in metres.
        gamma: See :func:`iteration_weights`.
    """
    total = depths[0].new_zeros(())
    weights = iteration_weights(len(depths), gamma)
    for weight, depth, normal in zip(weights, depths, normals, strict=True):
        # Cosine of the angle to (0, 0, -1).
        cosine = -normal[:, 2:3]
        total = total + weight * (_mean((depth - far).abs(), sky) + _mean(1 - cosine, sky))
    return total


def plane_loss(
    depth: Tensor,
    planes: Tensor,
    intrinsics: Tensor,
    max_cosine: float = 0.867,
    min_extent: float = 0.007,
) -> Tensor:
    """Return the mean of 1 - cosine between normals of random triangles and those of their plane.

    The three corners of a triangle lie on one labelled plane; the normal of a plane is the mean of
    its triangles' normals. So predicted depth becomes plane where it should, whatever the labels of
    depth are. Triangles that are tiny or nearly collinear do not count.

    Args:
        depth: Predicted depth (N, 1, H, W), metres of any scale.
        planes: (N, 1, H, W) uint8, number of the plane of each pixel, 0 = none.
        intrinsics: K (N, 3, 3) in pixels.
        max_cosine: Largest cosine between two sides.
        min_extent: Least extent of a triangle along one of the axes, metres.

    Reference: LeReS, https://arxiv.org/abs/2012.09365, pair-wise normal loss on planes
    """
    labels = planes.flatten(1).long()  # (N, L)
    # Pixels in the order of their planes, at random within each: three in a row are a triangle.
    order = (labels + torch.rand(labels.shape, device=labels.device)).argsort(dim=1)
    order = order[:, : order.shape[1] // 3 * 3].unflatten(1, (-1, 3))  # (N, T, 3)
    corner_labels = labels.gather(1, order.flatten(1)).view_as(order)
    number = corner_labels[..., 0]
    usable = (number > 0) & (corner_labels == number[..., None]).all(dim=2)
    points = back_project(depth, intrinsics).flatten(2)  # (N, 3, L)
    corners = []
    for index in order.unbind(dim=2):
        corners.append(points.gather(2, index[:, None].expand(-1, 3, -1)))
    sides = [corners[1] - corners[0], corners[2] - corners[0], corners[2] - corners[1]]
    with torch.no_grad():
        usable = usable & _is_proper(sides, max_cosine, min_extent)
    normals = _unit(torch.linalg.cross(sides[0], sides[1], dim=1))
    # Towards the camera, so that the order of the corners does not matter.
    faces_away = (normals * corners[0]).sum(dim=1, keepdim=True) > 0
    normals = torch.where(usable[:, None], torch.where(faces_away, -normals, normals), 0)
    index = number[:, None].expand(-1, 3, -1)
    sums = normals.new_zeros(len(normals), 3, NUM_PLANES).scatter_add(2, index, normals)
    cosine = (normals * _unit(sums).gather(2, index)).sum(dim=1)
    return _mean(1 - cosine, usable)


def log_gradient_loss(pred: Tensor, target: Tensor, mask: Tensor, num_scales: int = 4) -> Tensor:
    """Return the mean over scales of the L1 distance of second-neighbour differences of log depth.

    As published, scale k takes every 2^k-th row but all columns: the strides act on the channel
    and row axes there.

    Args:
        pred: Predicted depth (N, 1, H, W), metres, positive.
        target: Same shape, metres.
        mask: Boolean, same shape; True where ``target`` counts.
        num_scales: Number of scales.
    """
    error = torch.where(mask, pred, 1).log() - torch.where(mask, target, 1).log()
    total = pred.new_zeros(())
    for scale in range(num_scales):
        values, valid = error[:, :, :: 2**scale], mask[:, :, :: 2**scale]
        along_x = (values[..., 2:] - values[..., :-2]).abs()
        along_y = (values[..., 2:, :] - values[..., :-2, :]).abs()
        pairs_x = valid[..., 2:] & valid[..., :-2]
        pairs_y = valid[..., 2:, :] & valid[..., :-2, :]
        sums = torch.where(pairs_x, along_x, 0).sum() + torch.where(pairs_y, along_y, 0).sum()
        total = total + sums / (pairs_x.sum() + pairs_y.sum() + EPS)
    return total / num_scales


@MODELS.register_module()
class LogGradientLoss(nn.Module):
    """Weighted :func:`log_gradient_loss`, a term for ``loss_decode`` of any metric head.

    Args:
        loss_weight: Factor of the loss.
        num_scales: Number of scales.
    """

    def __init__(self, loss_weight: float = 1.0, num_scales: int = 4) -> None:
        super().__init__()
        self.loss_weight, self.num_scales = loss_weight, num_scales

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        return self.loss_weight * log_gradient_loss(pred, target, mask, self.num_scales)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over True entries of the mask, 0 without any."""
    return torch.where(mask, values, 0).sum() / (mask.sum() + EPS)
