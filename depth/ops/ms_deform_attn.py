"""Multi-scale deformable attention: a weighted sum of bilinear samples from several maps.

Reference: Deformable DETR, https://arxiv.org/abs/2010.04159. A location (x, y) in [0, 1] is the point
``(x * w - 0.5, y * h - 0.5)`` in pixel centres of a level (``align_corners=False``); outside is zero.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BACKENDS = ('auto', 'reference', 'torch')
CHUNK_VALUES = 1 << 25  # sampled values that may be in memory at once (128 MB in float32)


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
    backend: str = 'auto',
) -> Tensor:
    """Sample ``value`` around every query and sum with weights.

    Args:
        value: (N, S, H, D), the levels' pixels row by row, one level after another; H heads of size D.
        spatial_shapes: (h, w) of each level; a level may be empty.
        sampling_locations: (N, Q, H, L, P, 2) as (x, y), 0 to 1 inside a level; NaN counts as outside.
        attention_weights: (N, Q, H, L, P).
        backend: ``'reference'`` is plain ``grid_sample``, for tests; ``'torch'`` bounds the memory by working through
            the queries in chunks; ``'auto'`` takes the fastest there is.

    Returns:
        (N, Q, H * D).

    Raises:
        ValueError: If shapes do not go together or the backend is unknown.
    """
    shapes = [(int(h), int(w)) for h, w in spatial_shapes]
    _check(value, shapes, sampling_locations, attention_weights)
    if backend not in BACKENDS:
        raise ValueError(f'ms_deform_attn: unknown backend {backend!r}, there are {", ".join(BACKENDS)}')
    if backend == 'reference':
        return _reference(value, shapes, sampling_locations, attention_weights)
    return _chunked(value, shapes, sampling_locations, attention_weights)


def _reference(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    batch, _, heads, size = value.shape
    queries = locations.shape[1]
    result = value.new_zeros(batch * heads, size, queries)
    levels = value.split([h * w for h, w in shapes], dim=1)
    for index, ((h, w), level) in enumerate(zip(shapes, levels, strict=True)):
        if h * w == 0:
            continue
        image = level.permute(0, 2, 3, 1).reshape(batch * heads, size, h, w)
        grid = 2 * locations[:, :, :, index].transpose(1, 2).flatten(0, 1) - 1  # (N * H, Q, P, 2)
        grid = torch.where(grid.isnan().any(dim=-1, keepdim=True), torch.full_like(grid, -9.0), grid)
        sampled = F.grid_sample(image, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
        weight = weights[:, :, :, index].transpose(1, 2).flatten(0, 1).unsqueeze(1)  # (N * H, 1, Q, P)
        result = result + (sampled * weight).sum(dim=-1)
    return result.view(batch, heads, size, queries).permute(0, 3, 1, 2).flatten(2)


def _chunked(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Work through the queries in chunks, recomputing each in the backward pass; half precision sums in float32."""
    dtype = torch.float64 if value.dtype == torch.float64 else torch.float32
    tensors = [tensor.to(dtype) for tensor in (value, locations, weights)]
    per_query = weights[:, :1].numel() * value.shape[-1]
    step = max(1, CHUNK_VALUES // max(per_query, 1))
    if step >= locations.shape[1]:
        return _reference(tensors[0], shapes, *tensors[1:]).to(value.dtype)
    chunks = [
        checkpoint(_reference, tensors[0], shapes, part, weight, use_reentrant=False)
        for part, weight in zip(tensors[1].split(step, dim=1), tensors[2].split(step, dim=1), strict=True)
    ]
    return torch.cat(chunks, dim=1).to(value.dtype)


def _check(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> None:
    if value.ndim != 4:
        raise ValueError(f'ms_deform_attn: value must be (N, S, H, D), got {tuple(value.shape)}')
    batch, total, heads, _ = value.shape
    pixels = sum(h * w for h, w in shapes)
    if pixels != total:
        raise ValueError(f'ms_deform_attn: spatial_shapes {shapes} have {pixels} pixels, value has S = {total}')
    wanted = (batch, heads, len(shapes), 2)
    found = (*(locations.shape[axis] for axis in (0, 2, 3, 5)),) if locations.ndim == 6 else tuple(locations.shape)
    if locations.ndim != 6 or found != wanted:
        raise ValueError(
            f'ms_deform_attn: sampling_locations must be (N={batch}, Q, H={heads}, L={len(shapes)}, P, 2), '
            f'got {tuple(locations.shape)}'
        )
    if weights.shape != locations.shape[:-1]:
        raise ValueError(
            f'ms_deform_attn: attention_weights must be {tuple(locations.shape[:-1])}, got {tuple(weights.shape)}'
        )
