"""Panels: image, ground truth, prediction and error side by side."""

from collections.abc import Sequence

import cv2
import numpy as np

from .colormap import colorize_depth, colorize_error, draw_color_bar

TITLE_HEIGHT = 22
MIN_HEIGHT = 240
MAX_HEIGHT = 480
MAX_WIDTH = 4096  # of a tile; wider ones, such as of a 1x3000 strip, are squeezed
GAP = 6


def draw_panel(
    img: np.ndarray,
    pred_depth: np.ndarray,
    gt_depth: np.ndarray | None = None,
    min_depth: float | None = None,
    max_depth: float | None = None,
    inverse: bool = False,
    unit: str = ' m',
) -> np.ndarray:
    """Draw a BGR uint8 panel of an image, its depth maps and their relative error.

    Depth maps share one colour bar in metres, the relative error has its own. The bar spans the
    depth of the maps, not the whole range of the data set.

    Args:
        img: BGR uint8, (H, W, 3).
        pred_depth: Predicted depth in metres, (H, W), 0 = none.
        gt_depth: Ground truth in metres, (H, W), 0 = none; without it only image and prediction are
            drawn.
        min_depth: Metres of the near end of the bar; from the maps by default.
        max_depth: Upper limit of the far end of the bar in metres; from the maps by default.
        inverse: Whether the prediction is inverse depth; only without ground truth.
        unit: Unit of the bar, '' for a prediction without one.
    """
    values = pred_depth
    if not inverse and (pred_depth > 0).any():
        values = pred_depth[pred_depth > 0]
    if gt_depth is not None and (gt_depth > 0).any():
        values = gt_depth[gt_depth > 0]
    # Percentiles: a single far pixel would leave all others one colour.
    low = float(np.percentile(values, 1)) if min_depth is None else min_depth
    high = float(np.percentile(values, 99))
    if max_depth is not None:
        high = min(high, max_depth)
    high = max(high, low + 1e-3)
    size = _display_size(pred_depth.shape)
    tiles = [('image', _resize(img, size, smooth=True))]
    if gt_depth is not None:
        tiles.append(('ground truth', _resize(colorize_depth(_thicken(gt_depth), low, high), size)))
    tiles.append(('prediction', _resize(colorize_depth(pred_depth, low, high, inverse), size)))
    kind = 'inverse_depth' if inverse else 'depth'
    tiles.append((kind.replace('_', ' '), draw_color_bar(size[0], low, high, unit, kind)))
    if gt_depth is not None:
        valid = gt_depth > 0
        error = np.where(valid, np.abs(pred_depth - gt_depth) / np.where(valid, gt_depth, 1), 0)
        # The offset tells an error of 0 from a pixel without ground truth.
        shown = _thicken(np.where(valid, error + 1e-6, 0))
        tiles.append(('relative error', _resize(colorize_error(shown, 0.3, shown > 0), size)))
        tiles.append(('error', draw_color_bar(size[0], 0, 30, ' %', kind='error')))
    return join_tiles(tiles)


def join_tiles(tiles: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Join images of one height, BGR uint8 (H, W_i, 3), side by side, each below its title."""
    gap = np.full((tiles[0][1].shape[0] + TITLE_HEIGHT, GAP, 3), 255, np.uint8)
    columns = []
    for title, tile in tiles:
        columns += [_add_title(title, tile), gap]
    # Without the gap behind the last tile.
    return np.hstack(columns[:-1])


def _display_size(shape: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) at which tiles of maps of a shape (H, W) are drawn."""
    height, width = shape
    target = min(max(height, MIN_HEIGHT), MAX_HEIGHT)
    return target, min(max(round(width * target / height), 1), MAX_WIDTH)


def _resize(picture: np.ndarray, size: tuple[int, int], smooth: bool = False) -> np.ndarray:
    interpolation = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.resize(picture, (size[1], size[0]), interpolation=interpolation)


def _thicken(values: np.ndarray) -> np.ndarray:
    """Dilate sparse values (LiDAR) so that they can be seen; dense maps are returned unchanged."""
    if (values > 0).mean() > 0.5:
        return values
    size = max(3, values.shape[0] // 120)
    spread = cv2.dilate(values.astype(np.float32), np.ones((size, size), np.uint8))
    return np.where(values > 0, values, spread)


def _add_title(title: str, tile: np.ndarray) -> np.ndarray:
    bar = np.full((TITLE_HEIGHT, tile.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, title, (2, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([bar, tile])
