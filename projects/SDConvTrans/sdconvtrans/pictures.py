"""Picture of the SD-ConvTrans branches: base depth, detailed depth and boundaries."""

import cv2
import numpy as np

from depth.visualization.colormap import colorize_depth, colorize_error, draw_color_bar
from depth.visualization.panel import join_tiles

MIN_HEIGHT = 192  # of a tile; the titles of smaller ones would not fit


def draw_branches(image: np.ndarray, maps: dict[str, np.ndarray]) -> np.ndarray:
    """Draw image, base depth, detailed depth, their difference and the boundaries, BGR uint8.

    Args:
        image: BGR uint8 (H, W, 3).
        maps: ``base_depth``, ``depth`` (metres) and ``boundary``, each (h, w), as the head gives
            them.
    """
    scale = max(1, -(-MIN_HEIGHT // len(image)))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    height, width = image.shape[:2]
    resized = {}
    for name, values in maps.items():
        resized[name] = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    base, depth, boundary = resized['base_depth'], resized['depth'], resized['boundary']
    low, high = np.percentile(depth, [1, 99])
    high = max(high, low + 1e-3)
    detail = np.abs(depth - base)
    largest = max(float(np.percentile(detail, 99)), 1e-3)
    strongest = max(float(np.percentile(boundary, 99)), 1e-12)
    everywhere = np.ones_like(depth, dtype=bool)
    return join_tiles(
        [
            ('image', image),
            ('base depth', colorize_depth(base, low, high)),
            ('detailed depth', colorize_depth(depth, low, high)),
            ('depth', draw_color_bar(height, low, high, ' m')),
            ('detail adds', colorize_error(detail, largest, everywhere)),
            ('metres', draw_color_bar(height, 0, largest, ' m', kind='error')),
            ('boundary', colorize_error(boundary, strongest, everywhere)),
        ],
    )
