"""View synthesis: back-project one view, transform to another camera, project and sample.

Pixel centres are at whole numbers: column 0 is the middle of the first pixel, W - 1 that of the
last. ``grid_sample`` counts so with ``align_corners=True`` and coordinates divided by (size - 1).
With ``align_corners=False`` the same coordinates would be read as if the image ended at pixel
borders, and every sample would move by up to half a pixel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from depth.device_constants import device_constant

from .surface_normals import back_project


def transform_points(points: Tensor, transform: Tensor) -> Tensor:
    """Transform points (N, 3, H, W) by rigid motions (N, 4, 4) between camera frames."""
    rotation, translation = transform[:, :3, :3], transform[:, :3, 3]
    return (rotation @ points.flatten(2) + translation[..., None]).view_as(points)


def project_points(points: Tensor, intrinsics: Tensor, min_depth: float = 1e-3) -> Tensor:
    """Project points (N, 3, H, W) to pixel coordinates (N, H, W, 2), column first.

    Args:
        points: In metres, in the axes of the camera.
        intrinsics: K, (N, 3, 3), pixels.
        min_depth: Points nearer than this, or behind the camera, are projected as if they were that
            far in front; they end up outside the image.
    """
    pixels = (intrinsics @ points.flatten(2)).view_as(points)
    return (pixels[:, :2] / pixels[:, 2:].clamp(min=min_depth)).permute(0, 2, 3, 1)


def sample_pixels(image: Tensor, pixels: Tensor) -> Tensor:
    """Sample an image (N, C, H, W) bilinearly at pixels (N, h, w, 2).

    Outside, the nearest border value counts.
    """
    height, width = image.shape[-2:]
    size = device_constant((max(width - 1, 1), max(height - 1, 1)), pixels.device, pixels.dtype)
    # Far outside is as good as outside; huge coordinates would overflow the sampler's integers.
    grid = (2 * pixels / size - 1).clamp(-4, 4)
    return F.grid_sample(image, grid, mode='bilinear', padding_mode='border', align_corners=True)


def synthesize_view(
    source: Tensor,
    depth: Tensor,
    intrinsics: Tensor,
    transform: Tensor,
    source_intrinsics: Tensor | None = None,
) -> Tensor:
    """Return the target view (N, C, H, W) synthesised from the pixels of another view.

    Args:
        source: The other view, (N, C, H, W).
        depth: Depth of the target view, (N, 1, H, W), metres.
        intrinsics: K of the target view, (N, 3, 3), pixels.
        transform: Target camera to source camera, (N, 4, 4), metres. For a rectified pair it is the
            identity but for ``[0, 3]``: minus the baseline where the target is the left view, plus
            the baseline where it is the right.
        source_intrinsics: K of the other view, if it differs.

    Reference: Unsupervised Learning of Depth and Ego-Motion from Video,
    https://arxiv.org/abs/1704.07813.
    """
    # Half precision cannot tell neighbouring columns of a wide image apart.
    with torch.autocast(source.device.type, enabled=False):
        points = transform_points(back_project(depth.float(), intrinsics), transform)
        pixels = project_points(
            points, intrinsics if source_intrinsics is None else source_intrinsics
        )
        return sample_pixels(source.float(), pixels)
