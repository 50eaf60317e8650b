"""Colour maps of depth and error, their legends, and depth overlaid on its image."""

import cv2
import numpy as np

NO_DEPTH_COLOR = (40, 40, 40)  # BGR of pixels without depth
TEXT_COLOR = (30, 30, 30)
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
    width: int = 70,
) -> np.ndarray:
    """Draw a vertical legend, BGR uint8 (height, width, 3), with five ticks.

    Args:
        height: Pixels.
        low: Value at the top.
        high: Value at the bottom.
        unit: Written behind each number.
        kind: ``'depth'``, ``'inverse_depth'`` or ``'error'``: which colour map.
        width: Pixels.
    """
    bar = np.full((height, width, 3), 255, np.uint8)
    top, bottom = 8, height - 9
    values = np.linspace(low, high, bottom - top + 1)[:, None].repeat(14, axis=1)
    ones = np.ones(values.shape, bool)
    shares = _share(values, low, high)
    if kind in ('depth', 'inverse_depth'):
        nearness = shares if kind == 'inverse_depth' else 1 - shares
        colors = _colorize(nearness, ones, cv2.COLORMAP_TURBO)
    else:
        colors = _colorize(shares, ones, cv2.COLORMAP_MAGMA)
    bar[top : bottom + 1, 4:18] = colors
    for share in np.linspace(0, 1, 5):
        row = round(top + share * (bottom - top))
        value = low + share * (high - low)
        cv2.line(bar, (18, row), (21, row), TEXT_COLOR, 1)
        text, font = f'{value:.3g}{unit}', cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(bar, text, (24, row + 4), font, 0.34, TEXT_COLOR, 1, cv2.LINE_AA)
    return bar


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
