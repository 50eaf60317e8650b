"""Panels: image, ground truth, prediction and error, side by side or stacked."""

from collections.abc import Sequence

import cv2
import numpy as np

from .color_scale import ColorScale, draw_legend, fit_scale
from .text import MIN_DIGIT_HEIGHT, draw_text, legible_digit_height, wrap_text

MIN_HEIGHT = 240
MAX_HEIGHT = 480
MAX_WIDTH = 4096  # of a tile; wider ones, such as of a 1x3000 strip, are squeezed
MAX_STACKED_WIDTH = 1024  # of a tile of a wide frame
WIDE_ASPECT = 2.0  # frames of at least this ratio of width to height are stacked
GAP = 6
ERROR_SCALE = ColorScale(0.0, 30.0, 'error', ' %', 'magma')


def draw_panel(
    img: np.ndarray,
    pred_depth: np.ndarray,
    gt_depth: np.ndarray | None = None,
    min_depth: float | None = None,
    max_depth: float | None = None,
    inverse: bool = False,
    unit: str = ' m',
    scale: ColorScale | None = None,
) -> np.ndarray:
    """Draw a BGR uint8 panel of an image, its depth maps and their relative error.

    Depth maps share one colour scale, the relative error has its own. Maps of wide frames stand one
    above the other, others side by side.

    Args:
        img: BGR uint8, (H, W, 3).
        pred_depth: Predicted depth in metres, (H, W), 0 = none.
        gt_depth: Ground truth in metres, (H, W), 0 = none; without it only image and prediction are
            drawn.
        min_depth: Metres of the near end of the bar; from the maps by default.
        max_depth: Metres of the far end of the bar; from the maps by default.
        inverse: Whether the prediction is inverse depth; only without ground truth.
        unit: Unit of the bar, '' for a prediction without one.
        scale: Colours of the depth maps; takes the place of the four arguments before.
    """
    if scale is None:
        truth = gt_depth if gt_depth is not None and (gt_depth > 0).any() else pred_depth
        scale = fit_scale(truth, 'inverse_depth' if inverse else 'depth', unit)
        if min_depth is not None or max_depth is not None:
            low = scale.low if min_depth is None else min_depth
            high = scale.high if max_depth is None else max_depth
            scale = ColorScale(low, max(high, low + 1e-3), scale.kind, unit)
    # Of each map its title, its colours, and the scale whose legend stands beside it.
    is_wide = pred_depth.shape[1] >= WIDE_ASPECT * pred_depth.shape[0]
    size = _display_size(pred_depth.shape, is_wide)
    maps = [('image', _resize(img, size, smooth=True), None)]
    if gt_depth is not None:
        colors = scale.colorize(_thicken(gt_depth))
        maps.append(('ground truth', _resize(colors, size), scale if is_wide else None))
    maps.append(('prediction', _resize(scale.colorize(pred_depth), size), scale))
    if gt_depth is not None:
        valid = gt_depth > 0
        error = np.where(valid, np.abs(pred_depth - gt_depth) / np.where(valid, gt_depth, 1), 0)
        # The offset tells an error of 0 from a pixel without ground truth.
        shown = _thicken(np.where(valid, 100 * error + 1e-6, 0))
        colors = _resize(ERROR_SCALE.colorize(shown, shown > 0), size)
        maps.append(('relative error', colors, ERROR_SCALE))
    width = size[1] if is_wide else len(maps) * (size[1] + GAP)
    height = len(maps) * size[0] if is_wide else size[0]
    # The legends, whose width depends on the digits, take up to a quarter of the picture.
    digit_height = legible_digit_height(height, round(1.15 * width))
    rows = []
    tiles = []
    for title, colors, legend_scale in maps:
        tiles.append((title, colors))
        if legend_scale is not None:
            caption = 'error' if legend_scale is ERROR_SCALE else scale.kind.replace('_', ' ')
            tiles.append((caption, draw_legend(legend_scale, size[0], digit_height)))
        if is_wide:
            rows.append(join_tiles(tiles, digit_height))
            tiles = []
    return _stack(rows) if is_wide else join_tiles(tiles, digit_height)


def join_tiles(
    tiles: Sequence[tuple[str, np.ndarray]], digit_height: int | None = None
) -> np.ndarray:
    """Join images, BGR uint8 (H_i, W_i, 3), side by side, each below its title.

    Args:
        tiles: Title and image of each; lower images are padded with white below.
        digit_height: Size of the titles in pixels; by default legible at 1280 pixels of width.
    """
    height = max(tile.shape[0] for _, tile in tiles)
    if digit_height is None:
        digit_height = legible_digit_height(height, sum(tile.shape[1] for _, tile in tiles))
    line = round(1.6 * digit_height)
    titles = [wrap_text(title, tile.shape[1], digit_height) for title, tile in tiles]
    head = line * max(map(len, titles)) + line // 4
    columns = []
    for lines, (_, tile) in zip(titles, tiles, strict=True):
        column = np.full((head + height, tile.shape[1], 3), 255, np.uint8)
        for number, text in enumerate(lines):
            draw_text(column, text, 2, round((number + 0.5) * line), digit_height)
        column[head : head + tile.shape[0]] = tile
        columns += [column, np.full((head + height, GAP, 3), 255, np.uint8)]
    # Without the gap behind the last tile.
    return np.hstack(columns[:-1])


def _stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures one above the other; narrower ones are padded with white at the right."""
    width = max(row.shape[1] for row in rows)
    padded = []
    for row in rows:
        right = width - row.shape[1]
        padded.append(
            cv2.copyMakeBorder(row, 0, GAP, 0, right, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        )
    return np.vstack(padded)


def _display_size(shape: tuple[int, int], is_wide: bool) -> tuple[int, int]:
    """Return (height, width) at which tiles of maps of a shape (H, W) are drawn."""
    height, width = shape
    if is_wide:
        target = min(max(width, MIN_HEIGHT), MAX_STACKED_WIDTH)
        return max(round(height * target / width), 4 * MIN_DIGIT_HEIGHT), target
    target = min(max(height, MIN_HEIGHT), MAX_HEIGHT)
    return target, min(max(round(width * target / height), 1), MAX_WIDTH)


def _resize(picture: np.ndarray, size: tuple[int, int], smooth: bool = False) -> np.ndarray:
    interpolation = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    # Shrunk by area: single pixels would be left out or aliased.
    if smooth and size[0] < picture.shape[0]:
        interpolation = cv2.INTER_AREA
    return cv2.resize(picture, (size[1], size[0]), interpolation=interpolation)


def _thicken(values: np.ndarray) -> np.ndarray:
    """Dilate sparse values (LiDAR) so that they can be seen; dense maps are returned unchanged."""
    if (values > 0).mean() > 0.5:
        return values
    size = max(3, values.shape[0] // 120)
    spread = cv2.dilate(values.astype(np.float32), np.ones((size, size), np.uint8))
    return np.where(values > 0, values, spread)


def draw_color_map(values: np.ndarray, scale: ColorScale, caption: str = '') -> np.ndarray:
    """Draw a map as BGR uint8 with its legend at the right.

    Small maps are enlarged by a whole factor to about 240 pixels of height.

    Args:
        values: (H, W).
        scale: Colours.
        caption: Text above the legend's bar, one word a line.
    """
    height, width = values.shape
    factor = max(1, min(round(MIN_HEIGHT / height), MAX_WIDTH // width))
    colors = scale.colorize(values).repeat(factor, axis=0).repeat(factor, axis=1)
    digit_height = legible_digit_height(*colors.shape[:2])
    legend = draw_legend(scale, colors.shape[0], digit_height, caption)
    below = legend.shape[0] - colors.shape[0]
    colors = cv2.copyMakeBorder(colors, 0, below, 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3)
    return np.hstack([colors, legend])
