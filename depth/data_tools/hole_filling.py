"""Fill holes of a depth map along the image: similar neighbours get similar depth."""

import numpy as np

from depth.datasets.optional_imports import import_optional


def fill_depth(gray: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Fill unknown depth: each pixel is the mean of its eight neighbours, weighted by likeness.

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
    sparse = import_optional('scipy.sparse', 'fill_depth')
    linalg = import_optional('scipy.sparse.linalg', 'fill_depth')
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
    # Row of each unknown pixel in the linear system, -1 for known ones.
    number = np.full(depth.shape, -1)
    unknown = np.flatnonzero(~has_depth)
    number.flat[unknown] = np.arange(len(unknown))
    weights, neighbours = _neighbour_weights(gray.astype(np.float64), unknown)
    columns, values = number.flat[neighbours], depth.flat[neighbours].astype(np.float64)
    rows = np.broadcast_to(np.arange(len(unknown)), neighbours.shape)
    is_coupled = (columns >= 0) & (weights > 0)
    # x_i - sum over unknown neighbours of w_ij x_j = sum over known neighbours of w_ij d_j, in
    # metres: ones on the diagonal, minus the weights beside it.
    diagonal = np.arange(len(unknown))
    entries = np.concatenate([np.ones(len(unknown)), -weights[is_coupled]])
    entry_rows = np.concatenate([diagonal, rows[is_coupled]])
    entry_columns = np.concatenate([diagonal, columns[is_coupled]])
    shape = (len(unknown), len(unknown))
    system = sparse.csr_matrix((entries, (entry_rows, entry_columns)), shape=shape)
    constants = np.where(columns < 0, weights * values, 0).sum(axis=0)
    solved = linalg.spsolve(system.tocsc(), constants)
    low, high = depth[has_depth].min(), depth[has_depth].max()
    filled.flat[unknown] = np.clip(solved, low, high)
    return filled


def _neighbour_weights(gray: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights, with sum 1, and flat indices of the eight neighbours of ``pixels``, (8, U).

    A neighbour outside of the image has weight 0 and the pixel's own place.
    """
    height, width = gray.shape
    row, column = np.divmod(pixels, width)
    dy, dx = np.delete(np.indices((3, 3)).reshape(2, 9) - 1, 4, axis=1)[..., None]  # each (8, 1)
    is_row, is_column = _is_between(row + dy, height), _is_between(column + dx, width)
    inside = is_row & is_column
    neighbours = np.where(inside, pixels + dy * width + dx, pixels)
    centre, values = gray.flat[pixels], gray.flat[neighbours]
    count = inside.sum(axis=0) + 1
    mean = (values * inside).sum(axis=0) / count + centre / count
    variance = (((values - mean) ** 2 * inside).sum(axis=0) + (centre - mean) ** 2) / count
    # The scale that leaves the likest neighbour weight 0.01 = exp(-log(100)) bounds it from below:
    # an isolated bright pixel would have no neighbour at all, and no equation.
    difference = (values - centre) ** 2
    likest = np.where(inside, difference, np.inf).min(axis=0)
    # A flat window has no scale of its own; every neighbour then counts alike.
    scale = np.maximum(np.maximum(0.6 * variance, likest / np.log(100)), 1e-6)
    weights = np.exp(-difference / scale) * inside
    return weights / weights.sum(axis=0), neighbours


def _is_between(index: np.ndarray, size: int) -> np.ndarray:
    """Return where an index lies within 0 to ``size`` - 1."""
    return (index >= 0) & (index < size)
