"""Evaluation crops: (top, bottom, left, right) from a map's height and width, ends excluded."""

from collections.abc import Callable

Box = tuple[int, int, int, int]


def no_crop(height: int, width: int) -> Box:
    """Return the whole map."""
    return 0, height, 0, width


def garg_crop(height: int, width: int) -> Box:
    """Return the crop of R. Garg et al. 2016, https://arxiv.org/abs/1603.04992."""
    # All digits of the published code: parity depends on them.
    top, bottom = int(0.40810811 * height), int(0.99189189 * height)
    left, right = int(0.03594771 * width), int(0.96405229 * width)
    return top, bottom, left, right


def eigen_crop(height: int, width: int) -> Box:
    """Return the KITTI crop of D. Eigen et al. 2014, https://arxiv.org/abs/1406.2283."""
    top, bottom = int(0.3324324 * height), int(0.91351351 * height)
    left, right = int(0.0359477 * width), int(0.96405229 * width)
    return top, bottom, left, right


def nyu_crop(height: int, width: int) -> Box:
    """Return the NYU rectangle of D. Eigen et al. 2014: rows 45 to 470, columns 41 to 600.

    Raises:
        ValueError: If the map is smaller than the rectangle.
    """
    # A map of 480x640, or one that a pipeline has cut behind row 470 and column 600 at most.
    if height < 471 or width < 601:
        raise ValueError(
            f'the NYU crop is the fixed rectangle [45:471, 41:601] of a 480x640 map, this map is '
            f'{height}x{width}'
        )
    return 45, 471, 41, 601


def nyu_absolute_crop(height: int, width: int) -> Box:
    """Return the NYU rectangle in absolute pixels of a map of any size, cut to the map.

    Published evaluations of other indoor sets have it; on a 768x1024 map it keeps the upper left
    part.
    """
    return min(45, height), min(471, height), min(41, width), min(601, width)


def nyu_relative_crop(height: int, width: int) -> Box:
    """Return the NYU rectangle as shares of the map's size; equal to it on a 480x640 map."""
    top, bottom = round(45 / 480 * height), round(471 / 480 * height)
    left, right = round(41 / 640 * width), round(601 / 640 * width)
    return top, bottom, left, right


CROPS: dict[str, Callable[[int, int], Box]] = dict(
    none=no_crop,
    garg=garg_crop,
    eigen=eigen_crop,
    nyu=nyu_crop,
    nyu_absolute=nyu_absolute_crop,
    nyu_relative=nyu_relative_crop,
)
