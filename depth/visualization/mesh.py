"""Surface of a depth map as a coloured triangle mesh in binary glTF (GLB)."""

from pathlib import Path

import numpy as np

from depth.atomic_write import write_atomically

from .glb import encode_glb
from .point_cloud import depth_to_points


def write_mesh(
    path: str | Path,
    depth: np.ndarray,
    intrinsics: np.ndarray,
    img: np.ndarray,
    edge_ratio: float = 1.1,
    max_vertices: int = 200_000,
) -> int:
    """Write the surface through all pixels with depth as GLB, with the image's colours.

    Args:
        path: ``NAME.glb``.
        depth: Metres, (H, W), 0 = none.
        intrinsics: (3, 3), pixels, of this depth map.
        img: BGR uint8, (H, W, 3).
        edge_ratio: No triangle joins corners of which one is more than that many times as far as
            another, because an edge of the scene lies between them.
        max_vertices: Larger maps are thinned out to every second, third ... row and column.

    Returns:
        Number of triangles.

    Raises:
        ValueError: If there is no triangle.

    Reference: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
    """
    stride = 1
    while (depth.shape[0] // stride) * (depth.shape[1] // stride) > max_vertices:
        stride += 1
    # Thinned out behind the back-projection, so that the camera stays that of the full map.
    points = depth_to_points(depth, intrinsics)[::stride, ::stride]
    depth, colors = depth[::stride, ::stride], img[::stride, ::stride, ::-1]
    triangles = _triangles(depth, edge_ratio)
    used, triangles = np.unique(triangles, return_inverse=True)
    if not len(used):
        raise ValueError(f'{path}: no two neighbouring pixels have depth of one surface')
    # The axes of glTF are x right, y up and z towards the viewer.
    vertices = points.reshape(-1, 3)[used] * np.float32([1, -1, -1])
    colors = colors.reshape(-1, 3)[used]
    write_atomically(path, encode_glb(vertices, colors, triangles.reshape(-1, 3)))
    return triangles.size // 3


def _triangles(depth: np.ndarray, edge_ratio: float) -> np.ndarray:
    """Return the corners (N, 3) of two triangles for each square of pixels on one surface."""
    height, width = depth.shape
    index = np.arange(height * width).reshape(height, width)
    corners = []
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            corners.append((rows, columns))
    values = np.stack([depth[corner] for corner in corners])  # (4, H - 1, W - 1)
    nearest, farthest = values.min(axis=0), values.max(axis=0)
    smooth = (nearest > 0) & (farthest <= edge_ratio * nearest)
    top_left, top_right, bottom_left, bottom_right = (index[corner][smooth] for corner in corners)
    # Counter-clockwise as seen from the camera, which is the front of a triangle.
    upper = np.stack([top_left, bottom_left, top_right], axis=1)
    lower = np.stack([top_right, bottom_left, bottom_right], axis=1)
    return np.concatenate([upper, lower])
