"""Colour maps with a legend in metres."""

import cv2
import numpy as np

NO_DEPTH_COLOR = (40, 40, 40)  # BGR of pixels without depth
TEXT_COLOR = (30, 30, 30)


def colorize_depth(depth: np.ndarray, min_depth: float, max_depth: float) -> np.ndarray:
    """Return BGR uint8 (H, W, 3): near is warm, far is dark blue; pixels without depth are grey.

    Args:
        depth: Metres, (H, W), 0 = none.
        min_depth: Metres of the warm end.
        max_depth: Metres of the dark end.
    """
    return _colorize(1 - _share(depth, min_depth, max_depth), depth > 0, cv2.COLORMAP_TURBO)


def colorize_error(error: np.ndarray, max_error: float, valid_mask: np.ndarray) -> np.ndarray:
    """Return BGR uint8 (H, W, 3) of a non-negative error (H, W): black is 0, light is ``max_error`` and above."""
    return _colorize(_share(error, 0, max_error), valid_mask, cv2.COLORMAP_MAGMA)


def draw_color_bar(height: int, low: float, high: float, unit: str, kind: str = 'depth', width: int = 70) -> np.ndarray:
    """Return a vertical legend (height, width, 3) BGR uint8 with five ticks from ``low`` (top) to ``high``.

    Args:
        height: Pixels.
        low: Value at the top.
        high: Value at the bottom.
        unit: Written behind each number.
        kind: ``'depth'`` or ``'error'``: which colour map.
        width: Pixels.
    """
    bar = np.full((height, width, 3), 255, np.uint8)
    top, bottom = 8, height - 9
    values = np.linspace(low, high, bottom - top + 1)[:, None].repeat(14, axis=1)
    ones = np.ones(values.shape, bool)
    colors = (
        _colorize(1 - _share(values, low, high), ones, cv2.COLORMAP_TURBO)
        if kind == 'depth'
        else _colorize(_share(values, low, high), ones, cv2.COLORMAP_MAGMA)
    )
    bar[top : bottom + 1, 4:18] = colors
    for share in np.linspace(0, 1, 5):
        row = round(top + share * (bottom - top))
        value = low + share * (high - low)
        cv2.line(bar, (18, row), (21, row), TEXT_COLOR, 1)
        text = f'{value:.3g}{unit}'
        cv2.putText(bar, text, (24, row + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.34, TEXT_COLOR, 1, cv2.LINE_AA)
    return bar


def _share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / max(high - low, 1e-9), 0, 1)


def _colorize(share: np.ndarray, mask: np.ndarray, colormap: int) -> np.ndarray:
    colors = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), colormap)
    colors[~mask] = NO_DEPTH_COLOR
    return colors


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
