"""Recorded values of the published EPCDepth, in this toolbox's units."""

import numpy as np
import torch

from depth.models.heads.sigmoid_depth_head import sigmoid_to_inverse_depth
from depth.models.layers import sample_pixels
from depth.structures import ViewBatch
from tests.parity.recorded import load_arrays

UNIT = 5.4  # metres of the published unit, in which the baseline of 0.54 m is 0.1


def values():
    """Return all recorded arrays by name."""
    return load_arrays('epcdepth_values')


def recorded(name):
    """Return one recorded array as a tensor."""
    return torch.from_numpy(values()[name].copy())


def published_synthesis(source, depth, intrinsics, transform, source_intrinsics=None):
    """Warp with the roundings of the published code, which decide ties.

    Where several outputs send a pixel outside the image, all warped views show the same border
    pixel and their errors are equal but for the rounding of K's inverse. The published K is
    inverted by NumPy's pseudo-inverse in float32.
    """
    height, width = depth.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(height).float(), torch.arange(width).float(), indexing='ij'
    )
    pixels = torch.stack([columns, rows, torch.ones_like(rows)]).view(1, 3, -1)
    square = torch.eye(4).repeat(len(depth), 1, 1)
    square[:, :3, :3] = intrinsics
    rays = torch.from_numpy(np.linalg.pinv(square.numpy()))[:, :3, :3] @ pixels
    points = torch.cat([depth.flatten(2) * rays, torch.ones(len(depth), 1, height * width)], dim=1)
    projected = (square @ transform)[:, :3] @ points
    indices = (
        (projected[:, :2] / (projected[:, 2:] + 1e-7))
        .view(-1, 2, height, width)
        .permute(0, 2, 3, 1)
    )
    return sample_pixels(source, indices)


def scene_views(hints=True, unit=1.0):
    """Return the recorded scene as views, lengths in published units of ``unit`` metres."""
    transform = recorded('scene/stereo_T')
    transform[:, :3, 3] *= unit
    intrinsics = recorded('scene/K')[:, :3, :3]
    return ViewBatch(
        target=recorded('scene/curr'),
        sources=[recorded('scene/other_side')],
        transforms=[transform],
        intrinsics=intrinsics,
        source_intrinsics=[intrinsics],
        depth_hint=recorded('scene/depth_hint') * unit if hints else None,
    )


def scene_sigmoids():
    """Return the ten recorded outputs."""
    return [recorded(f'scene/disp_{index}') for index in range(10)]


def to_depth(sigmoid, unit=1.0):
    """Return depth as the head computes it, in published units of ``unit`` metres."""
    return 1 / sigmoid_to_inverse_depth(sigmoid, 0.1 * unit, 100 * unit)
