"""Multi-scale deformable attention: the entry point and the reference implementation.

Reference: Deformable DETR, https://arxiv.org/abs/2010.04159
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from .ms_deform_attn_torch import ms_deform_attn_torch

BACKENDS = ('auto', 'reference', 'torch', 'triton')
_auto_backend = 'auto'  # backend that 'auto' stands for inside of use_backend


@contextmanager
def use_backend(backend: str) -> Iterator[None]:
    """Context manager that makes ``backend`` the meaning of ``'auto'``, for every layer of a model.

    ``with use_backend('reference'):`` computes by ``grid_sample``, as published. A backward pass
    uses the backend of its forward pass, inside or outside of the block.

    Raises:
        ValueError: If the backend is unknown.
    """
    global _auto_backend
    _check_backend(backend)
    previous = _auto_backend
    _auto_backend = backend
    try:
        yield
    finally:
        _auto_backend = previous


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
    backend: str = 'auto',
) -> Tensor:
    """Multi-scale deformable attention: weighted sum of bilinear samples from every level.

    Sampling is bilinear between pixel centres: (0, 0) is the top left corner of the first pixel and
    (1, 1) the bottom right corner of the last one (``align_corners=False``). Samples outside of a
    level, at NaN or infinite locations, and of empty levels contribute zero. Half precision is
    summed in float32.

    Args:
        value: (N, S, H, D), H heads of size D; the S rows are the levels one after the other, each
            row by row.
        spatial_shapes: (h, w) of the L levels; their areas add up to S.
        sampling_locations: (N, Q, H, L, P, 2), (x, y), P points in each level.
        attention_weights: (N, Q, H, L, P).
        backend: ``'reference'`` (by ``grid_sample``, any dtype, stores every sample), ``'torch'``
            (any device, little memory), ``'triton'`` (CUDA) or ``'auto'``: the backend of
            :func:`use_backend`, otherwise torch.

    Returns:
        (N, Q, H * D), dtype of ``value``.

    Raises:
        ValueError: If shapes do not fit each other or the backend is unknown.
        RuntimeError: If ``'triton'`` is requested where it cannot run.
    """
    shapes = [(int(height), int(width)) for height, width in spatial_shapes]
    _check_shapes(value, shapes, sampling_locations, attention_weights)
    _check_backend(backend)
    if backend == 'auto':
        backend = _auto_backend
    if backend == 'auto':
        backend = 'torch'  # until the Triton kernels have run on a real GPU
    if backend == 'reference':
        return ms_deform_attn_reference(value, shapes, sampling_locations, attention_weights)
    if backend == 'torch':
        return ms_deform_attn_torch(value, shapes, sampling_locations, attention_weights)
    from .ms_deform_attn_triton import ms_deform_attn_triton

    return ms_deform_attn_triton(value, shapes, sampling_locations, attention_weights)


def ms_deform_attn_reference(
    value: Tensor,
    spatial_shapes: list[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Reference implementation by one ``grid_sample`` per level.

    Arguments as in :func:`ms_deform_attn`.
    """
    batch, _, heads, size = value.shape
    queries, points = sampling_locations.shape[1], sampling_locations.shape[4]
    dtype = torch.promote_types(value.dtype, torch.float32)
    locations = sampling_locations.to(dtype)
    finite = locations.isfinite().all(dim=-1, keepdim=True)
    # grid_sample counts from -1 to 1. Clamping to [-1, 2] keeps far locations outside of the level
    # without overflowing the sampler's integers.
    grids = 2 * torch.where(finite, locations, -1.0).clamp(-1, 2) - 1
    weights = attention_weights.to(dtype)
    # Sums over no elements: they keep gradients defined (as zero) where every level is empty.
    zero = value[:, :0].sum() + locations[:0].sum() + weights[:0].sum()
    output = value.new_zeros(batch * heads, size, queries, dtype=dtype) + zero
    start = 0
    for level, (height, width) in enumerate(spatial_shapes):
        if height * width == 0:
            continue
        rows = value[:, start : start + height * width].to(dtype)  # (N, h * w, H, D)
        start += height * width
        image = rows.permute(0, 2, 3, 1).reshape(batch * heads, size, height, width)
        grid = grids[:, :, :, level].transpose(1, 2).reshape(batch * heads, queries, points, 2)
        sampled = F.grid_sample(
            image, grid, mode='bilinear', padding_mode='zeros', align_corners=False
        )
        weight = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        output = output + (sampled * weight).sum(dim=-1)
    output = output.view(batch, heads * size, queries).transpose(1, 2)
    return output.to(value.dtype).contiguous()


def _check_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f'backend is one of {", ".join(map(repr, BACKENDS))}, got {backend!r}')


def _check_shapes(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> None:
    if value.ndim != 4:
        raise ValueError(f'value must be (N, S, H, D), got {tuple(value.shape)}')
    total = sum(height * width for height, width in shapes)
    if total != value.shape[1]:
        raise ValueError(
            f'spatial_shapes {shapes} hold {total} places, but value has {value.shape[1]} rows'
        )
    if locations.ndim != 6 or weights.shape != locations.shape[:-1] or locations.shape[-1] != 2:
        raise ValueError(
            'sampling_locations must be (N, Q, H, L, P, 2) and attention_weights (N, Q, H, L, P), '
            f'got {tuple(locations.shape)} and {tuple(weights.shape)}'
        )
    expected = (value.shape[0], value.shape[2], len(shapes))
    actual = (locations.shape[0], locations.shape[2], locations.shape[3])
    if actual != expected:
        raise ValueError(
            f'sampling_locations are for (images, heads, levels) {actual}, value and levels for {expected}'
        )
