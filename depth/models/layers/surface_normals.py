"""Back-projection of depth maps and their surface normals."""

import torch
import torch.nn.functional as F
from torch import Tensor


def back_project(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Back-project depth (N, 1, H, W) to points (N, 3, H, W) in metres, in camera axes.

    Args:
        depth: Metres along the optical axis.
        intrinsics: (N, 3, 3) in pixels; pixel centres are at whole numbers.
    """
    height, width = depth.shape[-2:]
    u = torch.arange(width, device=depth.device, dtype=depth.dtype)
    v = torch.arange(height, device=depth.device, dtype=depth.dtype)
    x = (u - intrinsics[:, 0, 2, None]) / intrinsics[:, 0, 0, None]  # (N, W)
    y = (v - intrinsics[:, 1, 2, None]) / intrinsics[:, 1, 1, None]  # (N, H)
    rays = torch.stack(
        [x.unsqueeze(1).expand(-1, height, -1), y.unsqueeze(2).expand(-1, -1, width)], dim=1
    )
    return torch.cat([rays * depth, depth], dim=1)


def normals_from_depth(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Return unit normals (N, 3, H, W) that face the camera, by central differences of the points.

    At the border the outermost difference is one-sided. Where depth is 0 the result means nothing.

    Args:
        depth: (N, 1, H, W) in metres.
        intrinsics: (N, 3, 3) in pixels.
    """
    points = F.pad(back_project(depth, intrinsics), (1, 1, 1, 1), mode='replicate')
    along_x = points[..., 1:-1, 2:] - points[..., 1:-1, :-2]
    along_y = points[..., 2:, 1:-1] - points[..., :-2, 1:-1]
    # x runs right, y down and z away from the camera, so y cross x points towards the camera.
    return F.normalize(torch.linalg.cross(along_y, along_x, dim=1), dim=1)


@torch.no_grad()
def normals_from_planes(
    depth: Tensor, intrinsics: Tensor, window: int = 9, tolerance: float = 0.02
) -> tuple[Tensor, Tensor]:
    """Fit a plane around each pixel and return its normal, for depth with holes or noise.

    The inverse depth of a plane is linear in pixel coordinates, so each window is a least-squares
    problem of three unknowns over the pixels that have depth.

    Args:
        depth: (N, 1, H, W) in metres, 0 = none.
        intrinsics: (N, 3, 3) in pixels.
        window: Odd side of the window in pixels.
        tolerance: Largest RMS error of a fit, as a share of the inverse depth: an edge of depth
            fits worse.

    Returns:
        Unit normals (N, 3, H, W) that face the camera, without a gradient, and the boolean mask
        (N, 1, H, W) of valid ones: the pixel has depth, its window holds points in two directions
        and they lie on a plane.
    """
    radius = window // 2
    mask = depth > 0
    # Double precision: sums of squares cancel, and GPUs may round float32 convolutions (TF32).
    inverse = torch.where(mask, 1 / torch.where(mask, depth, 1).double(), 0)
    count, x, y, xx, xy, yy = _moments(mask.double(), radius, degree=2)
    targets = _moments(inverse, radius, degree=1)
    (square,) = _moments(inverse.square(), radius, degree=0)
    # Normal equations: the symmetric 3x3 matrix of moments, solved by its adjugate.
    rows = [
        torch.cat([count, x, y], dim=1),
        torch.cat([x, xx, xy], dim=1),
        torch.cat([y, xy, yy], dim=1),
    ]
    adjugate = [torch.linalg.cross(rows[i], rows[(i + 1) % 3], dim=1) for i in (1, 2, 0)]
    determinant = (rows[0] * adjugate[0]).sum(dim=1, keepdim=True)
    solved = sum(value * column for value, column in zip(targets, adjugate, strict=True))
    is_spread = determinant > 1e-3 * count**3  # a full window has 0.11 to 0.3
    solved = solved / torch.where(is_spread, determinant, 1)
    at_center, by_u, by_v = solved[:, :1], solved[:, 1:2] / radius, solved[:, 2:] / radius
    # Sum of squared residuals of the least-squares solution.
    coefficients = solved.split(1, dim=1)
    error = square - sum(
        target * value for target, value in zip(targets, coefficients, strict=True)
    )
    fits = error.clamp(min=0) <= count * (tolerance * at_center).square()
    x, y, _ = back_project(torch.ones_like(inverse), intrinsics.double()).split(1, dim=1)
    # Slopes per pixel to slopes per unit of the normalised image plane.
    a = by_u * intrinsics[:, 0, 0].view(-1, 1, 1, 1)
    b = by_v * intrinsics[:, 1, 1].view(-1, 1, 1, 1)
    normals = -F.normalize(torch.cat([a, b, at_center - a * x - b * y], dim=1), dim=1)
    return normals.to(depth.dtype), mask & is_spread & fits & (at_center > 0)


def _moments(values: Tensor, radius: int, degree: int) -> list[Tensor]:
    """Return the sums of ``values * x^i * y^j`` around each pixel for i + j up to ``degree``.

    They are ordered by i + j, and for equal i + j by falling i.

    Args:
        values: (N, 1, H, W).
        radius: Radius of the square window, in which x and y run from -1 to 1.
        degree: Largest i + j.
    """
    steps = torch.linspace(-1, 1, 2 * radius + 1, device=values.device, dtype=values.dtype)
    kernels = torch.stack([steps**power for power in range(degree + 1)])  # (degree + 1, window)
    # The windows are separable: sums along the rows for every power of x, then along the columns.
    row_sums = F.conv2d(values, kernels[:, None, None, :], padding=(0, radius))
    sums = []  # entry i holds (N, degree + 1, H, W), the powers j of y
    for row_sum in row_sums.split(1, dim=1):
        sums.append(F.conv2d(row_sum, kernels[:, None, :, None], padding=(radius, 0)))
    moments = []
    for total in range(degree + 1):
        for j in range(total + 1):
            moments.append(sums[total - j][:, j : j + 1])
    return moments
