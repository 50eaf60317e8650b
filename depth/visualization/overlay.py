"""Depth drawn over its image, pixel on pixel."""

import numpy as np

from .colormap import colorize_depth

DENSE = 0.5  # share of pixels with depth above which the image shines through


def overlay_depth(
    img: np.ndarray, depth: np.ndarray, min_depth: float, max_depth: float, opacity: float | None = None
) -> np.ndarray:
    """Return the image, BGR uint8 (H, W, 3), with the colour of the depth on exactly the pixels that have depth.

    Args:
        img: BGR uint8, (H, W, 3).
        depth: Metres, (H, W), 0 = none.
        min_depth: Metres of the warm end of the colours.
        max_depth: Metres of the dark end.
        opacity: 0 shows the image alone, 1 covers it; by default 0.5 for dense depth and 1 for sparse.

    Raises:
        ValueError: If the sizes differ.
    """
    if depth.shape != img.shape[:2]:
        raise ValueError(f'depth is {depth.shape}, its image {img.shape[:2]}; they must be of one size')
    known = depth > 0
    if opacity is None:
        opacity = 0.5 if known.mean() > DENSE else 1.0
    colors = colorize_depth(depth, min_depth, max_depth)
    mixed = np.rint(opacity * colors.astype(np.float32) + (1 - opacity) * img.astype(np.float32)).astype(np.uint8)
    return np.where(known[..., None], mixed, img)
