"""Checks of pinhole cameras from options, files and configs."""

import math
from collections.abc import Sequence

import numpy as np

# Smallest focal length as a share of the longer side, a view of 178.9 degrees. A smaller number is
# probably a focal length that was divided by the width.
SMALLEST_FOCAL = 0.01
# Largest distance of the principal point from the border, in image sizes. A crop can put it outside
# of the image, but not farther.
FARTHEST_CENTER = 1.0


def pinhole_matrix(fx: object, fy: object, cx: object, cy: object, where: str) -> np.ndarray:
    """Return K (3, 3) float64 from four numbers in pixels, which may be written as text.

    Args:
        fx: Horizontal focal length.
        fy: Vertical focal length.
        cx: Column of the principal point.
        cy: Row of the principal point.
        where: Option, or file and entry, for messages.

    Raises:
        ValueError: If a value is no finite number or a focal length is not positive.
    """
    values = {}
    for name, value in dict(fx=fx, fy=fy, cx=cx, cy=cy).items():
        try:
            # A bool is a number in Python.
            values[name] = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            values[name] = math.nan
        if not math.isfinite(values[name]):
            raise ValueError(f'{where}: {name} is {value!r}, it must be a finite number of pixels')
    for name in ('fx', 'fy'):
        if values[name] <= 0:
            raise ValueError(
                f'{where}: {name} is {values[name]:g}, a focal length in pixels is above 0'
            )
    return np.array(
        [[values['fx'], 0, values['cx']], [0, values['fy'], values['cy']], [0, 0, 1]], np.float64
    )


def check_camera(
    matrix: Sequence | np.ndarray, where: str, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Return K (3, 3) as float64 if it can be the camera of an image.

    Args:
        matrix: K in pixels.
        where: Option, or file and entry, for messages.
        size: (H, W) of the image in pixels; None leaves the checks against it out.

    Raises:
        ValueError: If it is no pinhole matrix, or its numbers do not fit the image.
    """
    try:
        camera = np.array(matrix, np.float64).reshape(3, 3)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{where} must be a matrix (3, 3) of numbers, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]'
        ) from error
    (fx, _, cx), (_, fy, cy) = camera[:2].tolist()
    pinhole_matrix(fx, fy, cx, cy, where)
    if not np.isfinite(camera).all() or not np.array_equal(camera[2], (0, 0, 1)):
        raise ValueError(
            f'{where}: the last row of K is {camera[2].tolist()}, it must be [0, 0, 1]'
        )
    if size is not None:
        _check_size(camera, where, size)
    return camera


def _check_size(camera: np.ndarray, where: str, size: tuple[int, int]) -> None:
    height, width = size
    for name, focal in (('fx', camera[0, 0]), ('fy', camera[1, 1])):
        if focal < SMALLEST_FOCAL * max(width, height):
            raise ValueError(
                f'{where}: {name} is {focal:g} pixels for an image of {width}x{height}; is it a share of the width? '
                'give pixels'
            )
    for name, center, length in (('cx', camera[0, 2], width), ('cy', camera[1, 2], height)):
        if not -FARTHEST_CENTER * length <= center <= (1 + FARTHEST_CENTER) * length:
            raise ValueError(
                f'{where}: {name} is {center:g} pixels, far outside of an image of {width}x{height}; does the camera '
                'belong to images of another size?'
            )
