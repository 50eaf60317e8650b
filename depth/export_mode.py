"""Switch between a model's usual operators and those that a file for other runtimes can hold.

Inside of :func:`exporting` image sizes may be symbols of a tracer. Layers then compute what depends
on them with operators of the graph, where they otherwise count in Python, keep tables by size, or
call kernels of their own. Values are the same up to rounding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

_is_exporting = False


@contextmanager
def exporting() -> Iterator[None]:
    """Context manager in which :func:`is_exporting` is True."""
    global _is_exporting
    previous = _is_exporting, torch.backends.mha.get_fastpath_enabled()
    _is_exporting = True
    # PyTorch's fused transformer layer is an operator that no other runtime has.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        _is_exporting = previous[0]
        torch.backends.mha.set_fastpath_enabled(previous[1])


def is_exporting() -> bool:
    """Return whether a model is being written for another runtime."""
    return _is_exporting


def has_size(maps: Tensor, size: Sequence[int]) -> bool:
    """Return whether a resize of (..., h, w) to ``size`` can be left out.

    Never while exporting: a tracer would leave it out at other sizes, too.
    """
    return not is_exporting() and tuple(maps.shape[-2:]) == tuple(size)


def bicubic_matrix(before: int, after: int, scale: float) -> Tensor:
    """Return the matrix (after, before) of a bicubic resize of one axis without antialiasing.

    Sample i is taken at (i + 0.5) / scale - 0.5, with half-pixel centres, a repeated border and the
    cubic kernel of a = -0.75, as ``F.interpolate(scale_factor=scale, mode='bicubic')`` does. Unlike
    that, it can be written with ``after`` and ``scale`` as symbols.

    Args:
        before: Number of samples of the axis.
        after: Number of samples of the result.
        scale: Samples of the result to one of the axis.
    """
    position = (torch.arange(after, dtype=torch.float32) + 0.5) / scale - 0.5
    first = position.floor()
    fraction = position - first
    columns = torch.arange(before, dtype=torch.float32)
    matrix = torch.zeros(1, before)
    for tap in (-1, 0, 1, 2):
        # Differences of known sign: OpenVINO 2026.4 computes another power of an absolute value.
        distance = tap - fraction if tap > 0 else fraction - tap
        weight = _inner_cubic(distance) if tap in (0, 1) else _outer_cubic(distance)
        index = (first + tap).clamp(0, before - 1)
        matrix = matrix + weight[:, None] * (index[:, None] == columns).float()
    return matrix


def _inner_cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """Return the cubic kernel up to distance 1, https://doi.org/10.1109/TASSP.1981.1163711."""
    return ((a + 2) * distance - (a + 3)) * distance * distance + 1


def _outer_cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """Return the cubic convolution kernel at distances from 1 to 2."""
    return ((distance - 5) * distance + 8) * distance * a - 4 * a


def antialiased_matrix(before: int, after: int) -> Tensor:
    """Return the matrix (after, before) of a bilinear resize of one axis with antialiasing.

    The triangle kernel is as wide as a sample of the result, as in
    ``F.interpolate(mode='bilinear', antialias=True)``; both lengths may be symbols.
    """
    ratio = before / torch.as_tensor(after).float()
    centers = (torch.arange(after).float() + 0.5) * ratio
    samples = torch.arange(before).float() + 0.5
    width = ratio.clamp(min=1)
    weights = (1 - (samples - centers[:, None]).abs() / width).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)


def resize_antialiased(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, C, h, w) bilinearly with antialiasing and half-pixel centres."""
    if not is_exporting():
        return F.interpolate(
            maps, size=tuple(size), mode='bilinear', align_corners=False, antialias=True
        )
    rows, columns = (
        antialiased_matrix(before, after)
        for before, after in zip(maps.shape[-2:], size, strict=True)
    )
    return rows @ maps @ columns.t()


def round_side(length: int, factor: float) -> int:
    """Return ``length * factor`` rounded to the nearest whole number, the even one of two."""
    if isinstance(length, Tensor):  # a symbol of the tracer
        return (length * factor).round().long()
    return round(length * factor)


def average_matrix(before: int, after: int) -> Tensor:
    """Return the matrix (after, before) of adaptive average pooling of one axis.

    Cell i is the mean of samples floor(i before / after) to ceil((i + 1) before / after) - 1, as
    ``F.adaptive_avg_pool1d`` has it; ``before`` may be a symbol.

    Args:
        before: Number of samples of the axis.
        after: Number of cells.
    """
    cells = torch.arange(after)
    samples = torch.arange(before)
    first = (cells * before) // after
    # Minus floor of minus is the ceiling.
    end = ((cells + 1) * before + (after - 1)) // after
    inside = (samples >= first[:, None]) & (samples < end[:, None])
    weights = inside.float()
    return weights / weights.sum(dim=1, keepdim=True)


def shifted_window_mask(
    height: int, width: int, window: tuple[int, int], shift: tuple[int, int]
) -> Tensor:
    """Return the additive mask (windows, L, L) of shifted windows: -100 between image regions.

    Args:
        height: Rows of the map, a multiple of the window's.
        width: Columns of the map, likewise.
        window: (rows, columns) of a window.
        shift: (rows, columns) by which the map was rolled.
    """
    rows, columns = torch.arange(height), torch.arange(width)
    row_region = (rows >= height - window[0]).long() + (rows >= height - shift[0]).long()
    column_region = (columns >= width - window[1]).long() + (columns >= width - shift[1]).long()
    region = row_region[:, None] * 3 + column_region
    region = region.reshape(height // window[0], window[0], width // window[1], window[1])
    region = region.permute(0, 2, 1, 3).reshape(-1, window[0] * window[1])
    return (region[:, None] != region[:, :, None]).float() * -100.0
