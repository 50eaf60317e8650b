"""Surface normals of a depth map."""

import torch
import torch.nn.functional as F
from torch import Tensor


def back_project(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Return the points (N, 3, H, W) in metres that pixels at ``depth`` (N, 1, H, W) see.

    Args:
        depth: Metres along the optical axis.
        intrinsics: (N, 3, 3) in pixels; pixel centres are at whole numbers.
    """
    height, width = depth.shape[-2:]
    u = torch.arange(width, device=depth.device, dtype=depth.dtype)
    v = torch.arange(height, device=depth.device, dtype=depth.dtype)
    x = (u - intrinsics[:, 0, 2, None]) / intrinsics[:, 0, 0, None]  # (N, W)
    y = (v - intrinsics[:, 1, 2, None]) / intrinsics[:, 1, 1, None]  # (N, H)
    rays = torch.stack([x.unsqueeze(1).expand(-1, height, -1), y.unsqueeze(2).expand(-1, -1, width)], dim=1)
    return torch.cat([rays * depth, depth], dim=1)


def normals_from_depth(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Return unit normals (N, 3, H, W) that face the camera, from central differences of the points.

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
