"""Point clouds from depth and a pinhole camera."""

from pathlib import Path

import numpy as np

from depth.atomic_write import write_atomically


def depth_to_points(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Back-project every pixel: X = depth * K^-1 (u, v, 1), with pixel centres at whole numbers.

    Args:
        depth: Metres along the axis, (H, W).
        intrinsics: Pinhole matrix K, (3, 3), pixels.

    Returns:
        (H, W, 3) float32 in metres; x right, y down, z forward.
    """
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(np.asarray(intrinsics, np.float64)).T
    return (rays * depth[..., None]).astype(np.float32)


def write_ply(path: str | Path, depth: np.ndarray, intrinsics: np.ndarray, img: np.ndarray) -> int:
    """Write the coloured points of all pixels with depth as binary PLY.

    Args:
        path: ``NAME.ply``.
        depth: Metres, (H, W), 0 = none.
        intrinsics: (3, 3), pixels, of this depth map.
        img: BGR uint8, (H, W, 3).

    Returns:
        How many points were written.
    """
    valid = depth > 0
    vertices = np.empty(
        int(valid.sum()),
        dtype=[(name, '<f4') for name in 'xyz'] + [(name, 'u1') for name in ('red', 'green', 'blue')],
    )
    points = depth_to_points(depth, intrinsics)[valid]
    for axis, name in enumerate('xyz'):
        vertices[name] = points[:, axis]
    for channel, name in enumerate(('blue', 'green', 'red')):
        vertices[name] = img[valid][:, channel]
    properties = [f'property float {name}' for name in 'xyz'] + [
        f'property uchar {name}' for name in ('red', 'green', 'blue')
    ]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(vertices)}', *properties, 'end_header']
    write_atomically(path, ('\n'.join(header) + '\n').encode('ascii') + vertices.tobytes())
    return len(vertices)
