"""Fill holes of a depth map along the image: similar neighbours get similar depth."""

import numpy as np


def fill_depth(gray: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Fill unknown depth so that each filled pixel is the mean of its eight neighbours, weighted by likeness.

    The weight of a neighbour is ``exp(-(g - g')^2 / c)``, c = 0.6 times the variance of grey values
    in the 3x3 window (the factor that is usual for NYU depth), and at least so large that the
    likest neighbour has weight 0.01. Known depth is not touched: the sparse system has the unknown
    pixels only.

    Args:
        gray: Grey image (H, W), any range.
        depth: (H, W) in metres, 0 = unknown.

    Returns:
        (H, W) float32 in metres, without zeros; the same values where ``depth`` is known.

    Raises:
        ValueError: If the sizes differ or no depth is known.
        ImportError: If SciPy is missing.

    Reference: Colorization using Optimization, A. Levin et al. 2004,
    https://doi.org/10.1145/1015706.1015780
    """
    try:
        from scipy.sparse import csr_matrix
        from scipy.sparse.linalg import spsolve
    except ImportError as error:
        raise ImportError('fill_depth needs SciPy: pip install scipy') from error
    if gray.shape != depth.shape or depth.ndim != 2:
        raise ValueError(
            f'fill_depth: image {gray.shape} and depth {depth.shape} must both be (H, W)'
        )
    has_depth = depth > 0
    if not has_depth.any():
        raise ValueError('fill_depth: there is no known depth to start from')
    filled = depth.astype(np.float32)
    if has_depth.all():
        return filled
    number = np.full(depth.shape, -1)
    unknown = np.flatnonzero(~has_depth)
    number.flat[unknown] = np.arange(len(unknown))
    weights, neighbours = _neighbour_weights(gray.astype(np.float64), unknown)
    columns, values = number.flat[neighbours], depth.flat[neighbours].astype(np.float64)
    rows = np.broadcast_to(np.arange(len(unknown)), neighbours.shape)
    is_coupled = (columns >= 0) & (weights > 0)
    ones = np.ones(len(unknown))
    diagonal = np.arange(len(unknown))
    system = csr_matrix(
        (
            np.concatenate([ones, -weights[is_coupled]]),
            (
                np.concatenate([diagonal, rows[is_coupled]]),
                np.concatenate([diagonal, columns[is_coupled]]),
            ),
        ),
        shape=(len(unknown), len(unknown)),
    )
    constants = np.where(columns < 0, weights * values, 0).sum(axis=0)
    solved = spsolve(system.tocsc(), constants)
    low, high = depth[has_depth].min(), depth[has_depth].max()
    # Weighted means stay between the ends; only rounding leaves them.
    filled.flat[unknown] = np.clip(solved, low, high)
    return filled


def _neighbour_weights(gray: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights that sum to 1 and flat places of the eight neighbours of ``pixels``, both (8, U).

    A neighbour outside of the image has weight 0 and the pixel's own place.
    """
    height, width = gray.shape
    row, column = np.divmod(pixels, width)
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    inside = np.stack(
        [
            (row + dy >= 0) & (row + dy < height) & (column + dx >= 0) & (column + dx < width)
            for dy, dx in shifts
        ]
    )
    neighbours = np.where(inside, np.stack([pixels + dy * width + dx for dy, dx in shifts]), pixels)
    centre, values = gray.flat[pixels], gray.flat[neighbours]
    count = inside.sum(axis=0) + 1
    mean = (values * inside).sum(axis=0) / count + centre / count
    variance = (((values - mean) ** 2 * inside).sum(axis=0) + (centre - mean) ** 2) / count
    difference = (values - centre) ** 2
    likest = np.where(inside, difference, np.inf).min(axis=0)
    # A flat window has no scale of its own; every neighbour then counts alike.
    scale = np.maximum(np.maximum(0.6 * variance, likest / np.log(100)), 1e-6)
    weights = np.exp(-difference / scale) * inside
    return weights / weights.sum(axis=0), neighbours
