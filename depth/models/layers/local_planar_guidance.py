"""Local planar guidance: a coarse cell says a plane, and the plane says the depth of every pixel in it.

Reference: From Big to Small, https://arxiv.org/abs/1907.10326
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_COSINE = 1e-3


def reduction(in_channels: int, first: int, out_channels: int) -> nn.Sequential:
    """Return 1x1 convolutions with ELU to ``first``, half of it and so on down to 8 channels, and a last one."""
    layers, width = [], first
    while width >= 8:
        layers += [nn.Conv2d(in_channels, width, kernel_size=1, bias=False), nn.ELU()]
        in_channels, width = width, width // 2
    return nn.Sequential(*layers, nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False))


class PlaneRegression(nn.Module):
    """Regress a plane for every cell.

    Args:
        in_channels: Channels C of the map.
        first: Width of the first convolution, see :func:`reduction`.
        max_distance: Largest distance of a plane, in metres.
    """

    def __init__(self, in_channels: int, first: int, max_distance: float) -> None:
        super().__init__()
        self.reduce = reduction(in_channels, first, 3)
        self.max_distance = max_distance

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, 4, h, w): unit normal, at most 60 degrees off the axis, and distance in metres."""
        polar, azimuth, distance = self.reduce(feat).float().sigmoid().unbind(dim=1)
        polar, azimuth = polar * math.pi / 3, azimuth * 2 * math.pi
        normal = [polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()]
        return torch.stack([*normal, distance * self.max_distance], dim=1)


def local_planar_guidance(planes: Tensor, size: int) -> Tensor:
    """Return the depth of every pixel of cells that are planes.

    A ray leaves its cell at (u, v), from -1/2 to 1/2 across the cell whatever the camera, with depth
    ``distance / (n1 u + n2 v + n3)``. Where a ray runs along or behind its plane the divisor keeps its sign and a size
    of 1e-3 at least, so that no depth is infinite.

    Args:
        planes: Unit normal and distance in metres, (N, 4, h, w).
        size: Side k of a cell in pixels.

    Returns:
        Depth (N, 1, k h, k w) in metres.
    """
    normal, distance = F.normalize(planes[:, :3], dim=1), planes[:, 3]
    steps = (torch.arange(size, device=planes.device, dtype=planes.dtype) - (size - 1) / 2) / size
    n1, n2, n3 = (part[:, :, None, :, None] for part in normal.unbind(dim=1))  # (N, h, 1, w, 1)
    cosine = n1 * steps + n2 * steps[:, None, None] + n3  # (N, h, k, w, k)
    cosine = torch.where(cosine.abs() < MIN_COSINE, torch.where(cosine < 0, -MIN_COSINE, MIN_COSINE), cosine)
    depth = distance[:, :, None, :, None] / cosine
    return depth.flatten(3, 4).flatten(1, 2).unsqueeze(1)
