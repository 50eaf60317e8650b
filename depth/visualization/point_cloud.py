"""Point clouds: back-projection of depth by a pinhole camera, PLY and GLB files."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import write_atomically

from .glb import encode_glb

COLORS = ('red', 'green', 'blue')  # in the order of the vertices' properties


@dataclass(frozen=True)
class CloudOptions:
    """Choice of the points of a cloud and their axes.

    Args:
        edge_cut: Leaves out pixels at depth edges, whose depth is often between that of the two
            surfaces: those around which depth varies by more than this share of itself within 3x3
            pixels. None leaves out none.
        max_distance: Largest distance from the camera, in metres.
        max_points: Largest number of points; a random choice of fixed seed is kept.
        y_up: Whether y points up and z backwards, as in OpenGL, instead of down and forward.

    Raises:
        ValueError: If a limit is not positive.

    Reference: the edge test is that of MoGe's ``depth_map_edge``, https://arxiv.org/abs/2410.19115
    """

    edge_cut: float | None = None
    max_distance: float | None = None
    max_points: int | None = None
    y_up: bool = False

    def __post_init__(self) -> None:
        for name in ('edge_cut', 'max_distance', 'max_points'):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f'{name} of a point cloud must be above 0, got {value}')


def depth_to_points(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Back-project every pixel: X = depth * K^-1 (u, v, 1), with pixel centres at whole numbers.

    Args:
        depth: Metres along the axis, (H, W).
        intrinsics: Pinhole matrix K, (3, 3), pixels.

    Returns:
        (H, W, 3) float32 in metres; x right, y down, z forward.
    """
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32)
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1)  # (H, W, 3)
    rays = pixels @ np.linalg.inv(np.asarray(intrinsics, np.float64)).T
    return (rays * depth[..., None]).astype(np.float32)


def depth_edges(depth: np.ndarray, ratio: float) -> np.ndarray:
    """Return the pixels (H, W), bool, around which depth varies by more than ``ratio`` of itself.

    Pixels without depth are no neighbours.

    Args:
        depth: (H, W), 0 = none.
        ratio: Largest minus smallest depth within 3x3 pixels, as a share of the pixel's own.
    """
    window = np.ones((3, 3), np.uint8)
    valid = depth > 0
    values = depth.astype(np.float32)
    farthest = cv2.dilate(np.where(valid, values, 0), window)
    nearest = cv2.erode(np.where(valid, values, np.float32(np.inf)), window)
    return valid & (farthest - np.where(valid, nearest, 0) > ratio * values)


def select_points(
    depth: np.ndarray, intrinsics: np.ndarray, img: np.ndarray, options: CloudOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points (N, 3) float32 of a depth map and their RGB colours (N, 3) uint8.

    Args:
        depth: Metres, (H, W), 0 = none.
        intrinsics: (3, 3), pixels, of this depth map.
        img: BGR uint8, (H, W, 3).
        options: Points and axes.
    """
    mask = depth > 0
    points = depth_to_points(depth, intrinsics)
    if options.edge_cut is not None:
        mask &= ~depth_edges(depth, options.edge_cut)
    if options.max_distance is not None:
        mask &= np.linalg.norm(points, axis=2) <= options.max_distance
    indices = np.flatnonzero(mask)
    if options.max_points is not None and len(indices) > options.max_points:
        generator = np.random.default_rng(0)
        indices = np.sort(generator.choice(indices, options.max_points, replace=False))
    points, colors = points.reshape(-1, 3)[indices], img.reshape(-1, 3)[indices, ::-1]
    if options.y_up:
        points = points * np.float32([1, -1, -1])
    return points, colors


def write_ply(
    path: str | Path,
    depth: np.ndarray,
    intrinsics: np.ndarray,
    img: np.ndarray,
    options: CloudOptions | None = None,
) -> int:
    """Write the coloured points of a depth map as binary PLY.

    Args:
        path: ``NAME.ply``.
        depth: Metres, (H, W), 0 = none.
        intrinsics: (3, 3), pixels, of this depth map.
        img: BGR uint8, (H, W, 3).
        options: Points and axes; by default all pixels with depth, in camera axes.

    Returns:
        Number of points.
    """
    points, colors = select_points(depth, intrinsics, img, options or CloudOptions())
    fields = [(name, '<f4') for name in 'xyz'] + [(name, 'u1') for name in COLORS]
    vertices = np.empty(len(points), dtype=fields)
    for axis, name in enumerate('xyz'):
        vertices[name] = points[:, axis]
    for channel, name in enumerate(COLORS):
        vertices[name] = colors[:, channel]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(vertices)}']
    header += [f'property float {name}' for name in 'xyz']
    header += [f'property uchar {name}' for name in COLORS]
    header.append('end_header')
    write_atomically(path, ('\n'.join(header) + '\n').encode('ascii') + vertices.tobytes())
    return len(vertices)


def write_glb(
    path: str | Path,
    depth: np.ndarray,
    intrinsics: np.ndarray,
    img: np.ndarray,
    options: CloudOptions | None = None,
) -> int:
    """Write the coloured points of a depth map as binary glTF 2.0 (GLB).

    y points up, whatever ``options.y_up`` says, because glTF has no other axes.

    Args:
        path: ``NAME.glb``.
        depth: Metres, (H, W), 0 = none.
        intrinsics: (3, 3), pixels, of this depth map.
        img: BGR uint8, (H, W, 3).
        options: Points; by default all pixels with depth.

    Returns:
        Number of points.

    Raises:
        ValueError: If there is no point, because glTF has no empty meshes.

    Reference: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
    """
    points, colors = select_points(depth, intrinsics, img, options or CloudOptions())
    if not (options or CloudOptions()).y_up:
        points = points * np.float32([1, -1, -1])
    count = len(points)
    if count == 0:
        raise ValueError(f'{path}: no pixel is left for the cloud, and GLB holds no empty one')
    write_atomically(path, encode_glb(points, colors))
    return count
