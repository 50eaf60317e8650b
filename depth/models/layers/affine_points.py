"""Point maps that are known up to a shift along z: image plane coordinates, focal length and shift.

Lengths in the image plane are in units of half the image diagonal: a pixel's coordinates are (u, v)
with u in (-sx, sx) and v in (-sy, sy), where sx = a / sqrt(1 + a^2), sy = 1 / sqrt(1 + a^2) and a
is the aspect ratio width / height. A focal length f in this unit maps a point (x, y, z) to
f (x, y) / z.

Reference: MoGe, https://arxiv.org/abs/2410.19115, https://github.com/microsoft/MoGe.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Focal length and shift are fitted on a grid of this side.
SAMPLED_SIDE = 64
LM_STEPS = 30
# Points of an untrained network can ask for a focal length of zero or less.
SMALLEST_FOCAL = 0.01


def image_plane_coordinates(
    height: int,
    width: int,
    aspect: float | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return u and v of the pixel centres, (2, height, width), in units of half the diagonal.

    Args:
        height: Rows of the grid.
        width: Columns of the grid.
        aspect: Width / height of the image that the grid covers; by default that of the grid.
        device: Device of the result.
    """
    aspect = width / height if aspect is None else aspect
    span_x, span_y = _spans(aspect)
    far_x, far_y = span_x * (width - 1) / width, span_y * (height - 1) / height
    u = torch.linspace(-far_x, far_x, width, device=device)
    v = torch.linspace(-far_y, far_y, height, device=device)
    return torch.stack([u.expand(height, width), v[:, None].expand(height, width)])


def focal_from_fov(fov_x: Tensor, aspect: float) -> Tensor:
    """Return the focal length, in half diagonals, of a horizontal field of view in radians."""
    return _spans(aspect)[0] / torch.tan(fov_x / 2)


def intrinsics_in_pixels(focal: Tensor, height: int, width: int) -> Tensor:
    """Return K (N, 3, 3) in pixels, the principal point in the image's centre.

    Args:
        focal: (N,) in half diagonals.
        height: Rows of the image.
        width: Columns of the image.

    Pixels are square in this unit, so fx = fy; pixel centres are at whole numbers.
    """
    pixels = focal * math.hypot(height, width) / 2
    intrinsics = torch.zeros(len(focal), 3, 3, device=focal.device, dtype=focal.dtype)
    intrinsics[:, 0, 0] = pixels
    intrinsics[:, 1, 1] = pixels
    intrinsics[:, 0, 2] = (width - 1) / 2
    intrinsics[:, 1, 2] = (height - 1) / 2
    intrinsics[:, 2, 2] = 1
    return intrinsics


@torch.no_grad()
def recover_focal_and_shift(
    points: Tensor, mask: Tensor, focal: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Find the camera in which a point map is seen: f and s with f (x, y) / (z + s) = (u, v).

    The squared error of all valid points of a 64x64 sample (nearest) is minimised over s by
    Levenberg-Marquardt steps in float64 from s = 0; the best f for an s has a closed form.

    Args:
        points: (N, 3, H, W), with an unknown shift along z.
        mask: (N, 1, H, W), boolean; True where a point counts.
        focal: (N,) in half diagonals; of an image whose focal length is known only the shift is
            fitted. NaN where it is unknown, None if it is for all images.

    Returns:
        Focal length (N,) in half diagonals, at least 0.01, and shift (N,) in the unit of the
        points; 1 (or the known focal length) and 0 for an image with fewer than two valid points.
    """
    height, width = points.shape[-2:]
    size = (SAMPLED_SIDE, SAMPLED_SIDE)
    plane = image_plane_coordinates(height, width, device=points.device)
    plane = F.interpolate(plane[None], size, mode='nearest').double().flatten(2)  # (1, 2, L)
    sampled = F.interpolate(points, size, mode='nearest').double().flatten(2)  # (N, 3, L)
    valid = F.interpolate(mask.float(), size, mode='nearest').flatten(2) > 0  # (N, 1, L)
    xy = torch.where(valid, sampled[:, :2], 0)
    z = torch.where(valid, sampled[:, 2:], 1)
    target = torch.where(valid, plane, 0)
    if focal is None:
        focal = torch.full_like(points[:, 0, 0, 0], torch.nan)
    focal = focal.double()
    is_given = focal.isfinite()

    def residuals(shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return residuals and their derivative, (N, 2 L) each, and the focal length (N,)."""
        rays = xy / (z + shift[:, None, None])
        slopes = -rays / (z + shift[:, None, None])
        square = _dot(rays, rays).clamp(min=1e-30)
        best = torch.where(is_given, focal, _dot(rays, target) / square)
        # The best focal length moves with the shift (variable projection).
        best_slope = (_dot(slopes, target) - 2 * best * _dot(rays, slopes)) / square
        best_slope = torch.where(is_given, 0, best_slope)
        error = best[:, None, None] * rays - target
        derivative = best_slope[:, None, None] * rays + best[:, None, None] * slopes
        return error.flatten(1), derivative.flatten(1), best

    shift = points.new_zeros(len(points), dtype=torch.float64)
    damping = torch.full_like(shift, 1e-3)
    error, derivative, best = residuals(shift)
    # A fixed number of steps, accepted or not per image, needs no synchronisation with the host.
    for _ in range(LM_STEPS):
        curvature = derivative.square().sum(1)
        step = (derivative * error).sum(1) / (curvature * (1 + damping)).clamp(min=1e-30)
        new_error, new_derivative, new_best = residuals(shift - step)
        # False for NaN and infinity, which a step onto a point's depth gives.
        better = new_error.square().sum(1) < error.square().sum(1)
        shift = torch.where(better, shift - step, shift)
        error = torch.where(better[:, None], new_error, error)
        derivative = torch.where(better[:, None], new_derivative, derivative)
        best = torch.where(better, new_best, best)
        damping = torch.where(better, damping / 10, damping * 10)
    enough = valid.sum((1, 2)) >= 2
    shift = torch.where(enough, shift, 0)
    best = torch.where(enough | is_given, best, 1).clamp(min=SMALLEST_FOCAL)
    return best.to(points.dtype), shift.to(points.dtype)


def _spans(aspect: float) -> tuple[float, float]:
    """Return the largest u and v of an image of this aspect ratio."""
    diagonal = math.sqrt(1 + aspect**2)
    return aspect / diagonal, 1 / diagonal


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum((1, 2))
