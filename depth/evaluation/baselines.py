"""Baselines without a network: the constant and the per-pixel map with the lowest abs_rel.

Both minimise abs_rel itself. For one image with n valid pixels, abs_rel of a constant c is
``mean(|c - g| / g)``, a weighted sum of absolute deviations with weights ``1 / (n * g)``; its
minimum is the weighted median of the depths, exactly.
"""

import numpy as np


def best_constant(depths: np.ndarray) -> float:
    """Return the constant depth that minimises the mean abs_rel over these very images.

    Args:
        depths: Ground truth in metres, (N, H, W), 0 = none.

    Raises:
        ValueError: If no pixel has ground truth.
    """
    weights = _abs_rel_weights(depths)
    return float(_weighted_median(depths.reshape(1, -1), weights.reshape(1, -1))[0])


def best_map(depths: np.ndarray) -> np.ndarray:
    """Return the depth map (H, W), in metres, that minimises the mean abs_rel over these images.

    Args:
        depths: Ground truth in metres, (N, H, W), 0 = none. A pixel that no image has gets the best
            constant.

    Raises:
        ValueError: If no pixel has ground truth.
    """
    num_images, height, width = depths.shape
    weights = _abs_rel_weights(depths)
    per_pixel = depths.reshape(num_images, -1).T
    pixel_weights = weights.reshape(num_images, -1).T
    result = np.full(height * width, best_constant(depths), np.float32)
    measured = pixel_weights.sum(axis=1) > 0
    result[measured] = _weighted_median(per_pixel[measured], pixel_weights[measured])
    return result.reshape(height, width)


def mean_abs_rel(pred: np.ndarray, depths: np.ndarray) -> float:
    """Return abs_rel of one prediction for all images: the mean over pixels, then over images.

    Args:
        pred: Depth in metres, (H, W).
        depths: Ground truth in metres, (N, H, W), 0 = none.

    Raises:
        ValueError: If no pixel has ground truth.
    """
    scored = (depths > 0).any(axis=(1, 2))
    errors = np.abs(pred.astype(np.float64) - depths) * _abs_rel_weights(depths)
    return float(errors.sum(axis=(1, 2))[scored].mean())


def _abs_rel_weights(depths: np.ndarray) -> np.ndarray:
    valid = depths > 0
    if not valid.any():
        raise ValueError(
            f'no pixel of the {len(depths)} depth maps has ground truth, a baseline needs some'
        )
    count = np.maximum(valid.sum(axis=(1, 2), keepdims=True), 1)
    # 1 where there is no depth, so that nothing is divided by 0.
    divisor = np.where(valid, depths, 1).astype(np.float64)
    return np.where(valid, 1 / (count * divisor), 0.0)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted median (M,) of each row of (M, L)."""
    order = np.argsort(values, axis=1)
    # The smallest value at which the cumulative weight reaches half of the total.
    cumulative = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    position = (cumulative >= 0.5 * cumulative[:, -1:]).argmax(axis=1)
    return np.take_along_axis(values, order, axis=1)[np.arange(len(values)), position]
