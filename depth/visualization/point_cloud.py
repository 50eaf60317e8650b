"""Point clouds: back-projection of depth by a pinhole camera, and PLY files."""

from pathlib import Path

import numpy as np

from depth.atomic_write import write_atomically

COLORS = ('red', 'green', 'blue')  # in the order of the vertices' properties


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


def write_ply(path: str | Path, depth: np.ndarray, intrinsics: np.ndarray, img: np.ndarray) -> int:
    """Write the coloured points of all pixels with depth as binary PLY.

    Args:
        path: ``NAME.ply``.
        depth: Metres, (H, W), 0 = none.
        intrinsics: (3, 3), pixels, of this depth map.
        img: BGR uint8, (H, W, 3).

    Returns:
        Number of points.
    """
    valid = depth > 0
    fields = [(name, '<f4') for name in 'xyz'] + [(name, 'u1') for name in COLORS]
    vertices = np.empty(int(valid.sum()), dtype=fields)
    points = depth_to_points(depth, intrinsics)[valid]
    for axis, name in enumerate('xyz'):
        vertices[name] = points[:, axis]
    # Images are BGR.
    for channel, name in enumerate(reversed(COLORS)):
        vertices[name] = img[valid][:, channel]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(vertices)}']
    header += [f'property float {name}' for name in 'xyz']
    header += [f'property uchar {name}' for name in COLORS]
    header.append('end_header')
    write_atomically(path, ('\n'.join(header) + '\n').encode('ascii') + vertices.tobytes())
    return len(vertices)
