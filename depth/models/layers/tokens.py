"""Feature maps as tokens and back."""

from collections.abc import Sequence

import torch
from torch import Tensor


def flatten_levels(levels: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
    """Return maps (N, E, h, w) as tokens (N, S, E), one level after the other, and the sizes (h, w)."""
    shapes = [tuple(level.shape[-2:]) for level in levels]
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1), shapes


def split_levels(tokens: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Undo :func:`flatten_levels`."""
    parts = tokens.split([height * width for height, width in shapes], dim=1)
    return [part.transpose(1, 2).unflatten(2, shape) for part, shape in zip(parts, shapes, strict=True)]


def pixel_centers(size: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the centres of a map's pixels, (h * w, 2) as (x, y) in [0, 1]."""
    rows = (torch.arange(size[0], device=device, dtype=dtype) + 0.5) / size[0]
    columns = (torch.arange(size[1], device=device, dtype=dtype) + 0.5) / size[1]
    y, x = torch.meshgrid(rows, columns, indexing='ij')
    return torch.stack([x, y], dim=-1).flatten(0, 1)
