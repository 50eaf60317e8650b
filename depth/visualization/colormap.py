"""Colour maps of depth and error, their legends, and depth overlaid on its image."""

import cv2
import numpy as np

from .color_scale import NO_DEPTH_COLOR, ColorScale, draw_legend

DENSE_SHARE = 0.5  # a map with depth on more of its pixels is dense, and drawn half transparent


def colorize_depth(
    depth: np.ndarray, min_depth: float, max_depth: float, inverse: bool = False
) -> np.ndarray:
    """Colour depth as BGR uint8 (H, W, 3): near is red, far is dark blue, no depth is grey.

    Args:
        depth: Metres, (H, W), 0 = none; or inverse depth of any unit, where every value counts.
        min_depth: Least value that is told apart: metres of the warm end, inverse depth of the dark
            end.
        max_depth: Largest value that is told apart.
        inverse: Whether the values are inverse depth, so that larger ones are nearer.
    """
    if inverse:
        share = _share(depth, min_depth, max_depth)
        return _colorize(share, np.isfinite(depth), cv2.COLORMAP_TURBO)
    # Turbo's warm end is its upper one.
    return _colorize(1 - _share(depth, min_depth, max_depth), depth > 0, cv2.COLORMAP_TURBO)


def colorize_error(error: np.ndarray, max_error: float, valid_mask: np.ndarray) -> np.ndarray:
    """Colour a non-negative error (H, W) as BGR uint8 (H, W, 3), from black to light.

    Black is 0, the lightest colour is ``max_error`` and above.
    """
    return _colorize(_share(error, 0, max_error), valid_mask, cv2.COLORMAP_MAGMA)


def draw_color_bar(
    height: int,
    low: float,
    high: float,
    unit: str,
    kind: str = 'depth',
) -> np.ndarray:
    """Draw a vertical legend with round ticks, BGR uint8 (H, W, 3).

    Args:
        height: Least height in pixels.
        low: Value at the top.
        high: Value at the bottom.
        unit: Written behind each number.
        kind: ``'depth'``, ``'inverse_depth'`` or ``'error'``: which colours.
    """
    colormap = 'magma' if kind == 'error' else 'turbo'
    # A map of one value has a bar too.
    high = max(high, low + max(1e-9, 1e-6 * abs(low)))
    return draw_legend(ColorScale(low, high, kind, unit, colormap), height)


def _share(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map values from ``low`` to ``high`` to 0 to 1."""
    return np.clip((values - low) / max(high - low, 1e-9), 0, 1)


def _colorize(share: np.ndarray, mask: np.ndarray, colormap: int) -> np.ndarray:
    colors = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), colormap)
    colors[~mask] = NO_DEPTH_COLOR
    return colors


def overlay_depth(
    img: np.ndarray,
    depth: np.ndarray,
    min_depth: float,
    max_depth: float,
    opacity: float | None = None,
) -> np.ndarray:
    """Draw the colours of depth over its image, on exactly the pixels that have depth.

    Args:
        img: BGR uint8, (H, W, 3).
        depth: Metres, (H, W), 0 = none.
        min_depth: Metres of the warm end of the colours.
        max_depth: Metres of the dark end.
        opacity: 0 shows the image alone, 1 covers it; by default 0.5 for dense depth and 1 for
            sparse.

    Raises:
        ValueError: If the sizes differ.
    """
    if depth.shape != img.shape[:2]:
        raise ValueError(
            f'depth is {depth.shape}, its image {img.shape[:2]}; they must be of one size',
        )
    valid = depth > 0
    if opacity is None:
        opacity = 0.5 if valid.mean() > DENSE_SHARE else 1.0
    colors = colorize_depth(depth, min_depth, max_depth)
    mixed = opacity * colors.astype(np.float32) + (1 - opacity) * img.astype(np.float32)
    return np.where(valid[..., None], np.rint(mixed).astype(np.uint8), img)
