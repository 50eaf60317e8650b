"""Pinhole cameras: matrices from files, and distance along the ray to depth along the axis."""

import re
from pathlib import Path

import numpy as np

from .text_files import read_text

_NUMBER = re.compile(r'[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?')


def pinhole(fx: float, fy: float, cx: float, cy: float) -> list[list[float]]:
    """Return the matrix (3, 3), in pixels, as plain lists."""
    return [[float(fx), 0.0, float(cx)], [0.0, float(fy), float(cy)], [0.0, 0.0, 1.0]]


def read_camera_text(path: str | Path) -> list[list[float]]:
    """Read a text file of nine numbers (the matrix by rows) or four (fx, fy, cx, cy), in pixels.

    Raises:
        ValueError: If it holds anything else.
    """
    numbers = [float(number) for number in _NUMBER.findall(read_text(path, 'camera file'))]
    if len(numbers) == 4:
        return pinhole(*numbers)
    if len(numbers) != 9:
        raise ValueError(
            f'camera file {path} holds {len(numbers)} numbers, expected the nine of a 3x3 matrix '
            'or fx, fy, cx, cy'
        )
    return [numbers[0:3], numbers[3:6], numbers[6:9]]


def distance_to_depth(distance: np.ndarray, intrinsic: np.ndarray) -> np.ndarray:
    """Turn the distance along each pixel's ray into depth along the optical axis.

    Args:
        distance: (H, W) in metres.
        intrinsic: (3, 3) in pixels, pixel centres at whole numbers.

    Returns:
        (H, W) float32 in metres: ``distance / |K^-1 (u, v, 1)|``.
    """
    height, width = distance.shape
    (fx, _, cx), (_, fy, cy) = np.asarray(intrinsic, np.float32)[:2]
    x = (np.arange(width, dtype=np.float32) - cx) / fx
    y = (np.arange(height, dtype=np.float32) - cy) / fy
    # |K^-1 (u, v, 1)| = sqrt(1 + x^2 + y^2), by broadcasting: no (3, H, W) array of rays.
    return distance / np.sqrt(1 + np.square(x)[None] + np.square(y)[:, None])


def project_points(points: np.ndarray, intrinsic: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Project points into an image, each to the nearest pixel; the nearest point of a pixel stays.

    Args:
        points: (M, 3) in metres, axes of the camera: x right, y down, z forward.
        intrinsic: (3, 3) in pixels.
        shape: (height, width) in pixels.

    Returns:
        Depth (H, W) float32 in metres, 0 where no point falls.
    """
    # Points behind the camera would be mirrored into the image.
    points = points[points[:, 2] > 0]
    pixels = points @ np.asarray(intrinsic, np.float64).T
    columns, rows = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(np.int64).T
    inside = (columns >= 0) & (columns < shape[1]) & (rows >= 0) & (rows < shape[0])
    depth = np.full(shape, np.inf, np.float32)
    # `depth[rows, columns] = z` would keep the last point of a pixel; `at` counts every one.
    np.minimum.at(depth, (rows[inside], columns[inside]), points[inside, 2].astype(np.float32))
    depth[np.isinf(depth)] = 0
    return depth
