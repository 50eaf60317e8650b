"""Depth from planes and camera rays.

A plane with unit normal n at distance d from the camera holds the points P with n . P = d; a
pixel's point is P = z * r with the ray r = K^-1 (u, v, 1), so its depth is z = d / (n . r).
"""

import torch
from torch import Tensor

from depth.device_constants import device_constant
from depth.models.layers import back_project

EPS = 1e-7  # added to n . r, as published


def pixel_rays(intrinsics: Tensor, size: tuple[int, int], stride: int = 1) -> Tensor:
    """Return the rays K^-1 (u, v, 1), (N, 3, h, w), of a map at ``stride``.

    As published, the map's pixels are counted from 0 and both focal lengths and principal point are
    divided by the stride, without a shift by half a pixel.

    Args:
        intrinsics: K of the image, (N, 3, 3) in pixels.
        size: (h, w) of the map.
        stride: Image pixels per pixel of the map.
    """
    # No half-pixel shift of the principal point: published weights were trained without it.
    divisor = device_constant((stride, stride, 1), intrinsics.device, intrinsics.dtype).view(
        1, 3, 1
    )
    ones = intrinsics.new_ones(len(intrinsics), 1, *size)
    return back_project(ones, intrinsics / divisor)


def depth_from_planes(normals: Tensor, distances: Tensor, rays: Tensor) -> Tensor:
    """Return the depth (N, 1, h, w) at which each pixel's ray meets the pixel's plane.

    Signs do not count: a normal may face the camera or not. Depth has the unit of ``distances``.

    Args:
        normals: (N, 3, h, w).
        distances: (N, 1, h, w).
        rays: (N, 3, h, w) with z = 1.
    """
    projection = (normals * rays).sum(dim=1, keepdim=True) + EPS  # n . r, (N, 1, h, w)
    # A ray within the plane never hits it; an infinite depth would make the gradient NaN.
    projection = torch.where(projection.abs() < EPS, EPS, projection)
    return (distances / projection).abs()


def plane_distance(normals: Tensor, depth: Tensor, rays: Tensor) -> Tensor:
    """Return the camera's distance (N, 1, h, w), not negative, from each pixel's plane."""
    return ((normals * rays).sum(dim=1, keepdim=True) * depth).abs()
