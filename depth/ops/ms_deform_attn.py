"""Multi-scale deformable attention: the entry points and the reference implementation.

Reference: Deformable DETR, https://arxiv.org/abs/2010.04159
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.device_constants import device_constant
from depth.export_mode import is_exporting

from .ms_deform_attn_torch import ms_deform_attn_torch
from .projected_attention_cpu import projected_attention_cpu

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
    check_backend(backend)
    previous = _auto_backend
    _auto_backend = backend
    try:
        yield
    finally:
        _auto_backend = previous


def select_backend(value: Tensor, backend: str = 'auto') -> tuple[str, str]:
    """Return the backend that runs for ``value`` (N, S, H, D), and the reason.

    ``'auto'`` is the backend of :func:`use_backend`, otherwise Triton on CUDA and torch elsewhere.
    On CUDA without Triton it is the reference: the stem layer of DepthFormer Swin-L (2 x 61 952
    queries) takes about 100 launches in a training step, and 16 500 by the torch backend, which
    saves memory for them. The reference's backward pass adds by atomics, so that deterministic runs
    take torch.

    Raises:
        ValueError: If the backend is unknown.
    """
    check_backend(backend)
    if backend != 'auto':
        return backend, 'as requested'
    if _auto_backend != 'auto':
        return _auto_backend, 'set by use_backend'
    if not value.is_cuda:
        return 'torch', f'on {value.device.type}'
    from .triton_launch import unsupported_reason

    reason = unsupported_reason(value)
    if reason is None:
        return 'triton', 'on CUDA'
    if torch.are_deterministic_algorithms_enabled():
        return 'torch', f'deterministic, without Triton kernels: {reason}'
    return 'reference', f'without Triton kernels: {reason}'


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
            (any device, little memory), ``'triton'`` (CUDA) or ``'auto'``, see
            :func:`select_backend`.

    Returns:
        (N, Q, H * D), dtype of ``value``.

    Raises:
        ValueError: If shapes do not fit each other or the backend is unknown.
        RuntimeError: If ``'triton'`` is requested where it cannot run.
    """
    if is_exporting():
        return ms_deform_attn_reference(
            value, spatial_shapes, sampling_locations, attention_weights
        )
    shapes = [(int(height), int(width)) for height, width in spatial_shapes]
    _check_shapes(value, shapes, sampling_locations, attention_weights)
    selected, _ = select_backend(value, backend)
    if selected == 'reference':
        return ms_deform_attn_reference(value, shapes, sampling_locations, attention_weights)
    if selected == 'torch':
        return ms_deform_attn_torch(value, shapes, sampling_locations, attention_weights)
    from .ms_deform_attn_triton import ms_deform_attn_triton

    return ms_deform_attn_triton(value, shapes, sampling_locations, attention_weights)


def deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]],
    reference_points: Tensor,
    offsets: Tensor,
    logits: Tensor,
    backend: str = 'auto',
) -> Tensor:
    """Multi-scale deformable attention, from what a layer predicts.

    :func:`ms_deform_attn` at the locations ``reference_points + offsets / (w, h)`` with the softmax
    of the logits as weights. Both are computed in float32, whatever the dtype of the arguments: in
    bfloat16, a location is off by up to 2 pixels of a level that is 1000 pixels wide. The Triton
    kernels compute them on the fly.

    Args:
        value: (N, S, H, D), as in :func:`ms_deform_attn`.
        spatial_shapes: (h, w) of the L levels.
        reference_points: (N or 1, Q, L or 1, 2) as (x, y) in [0, 1].
        offsets: (N, Q, H, L, P, 2) in pixels of each level.
        logits: (N, Q, H, L, P); their softmax is over levels and points.
        backend: As in :func:`ms_deform_attn`.

    Returns:
        (N, Q, H * D), dtype of ``value``.

    Raises:
        ValueError: If shapes do not fit each other or the backend is unknown.
        RuntimeError: If ``'triton'`` is requested where it cannot run.
    """
    if is_exporting():
        return _exported_attention(value, spatial_shapes, reference_points, offsets, logits)
    shapes = [(int(height), int(width)) for height, width in spatial_shapes]
    _check_shapes(value, shapes, offsets, logits)
    _check_references(reference_points, *offsets.shape[:2], len(shapes))
    selected, _ = select_backend(value, backend)
    if selected == 'triton':
        from .ms_deform_attn_triton import deformable_attention_triton

        return deformable_attention_triton(value, shapes, reference_points, offsets, logits)
    dtype = torch.promote_types(offsets.dtype, torch.float32)
    sides = tuple((max(width, 1), max(height, 1)) for height, width in shapes)
    sizes = device_constant(sides, offsets.device, dtype)[:, None]  # (L, 1, 2): w, h
    references = reference_points[:, :, None, :, None, :].to(dtype)
    locations = references + offsets.to(dtype) / sizes
    weights = logits.flatten(3).to(torch.promote_types(logits.dtype, torch.float32)).softmax(dim=-1)
    return ms_deform_attn(value, shapes, locations, weights.view(logits.shape), selected)


def projected_attention(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]],
    reference_points: Tensor,
    query: Tensor,
    query_pos: Tensor | None,
    offset_projection: nn.Module,
    logit_projection: nn.Module,
    num_points: int,
    backend: str = 'auto',
) -> Tensor:
    """Multi-scale deformable attention, from queries and the layers that project them.

    :func:`deformable_attention` with the offsets and logits of ``query + query_pos``. On a CPU
    these are computed chunk by chunk and never stored; other devices hold them, and so do files for
    other runtimes and layers of other classes than ``nn.Linear``, such as low-rank updates.

    Args:
        value: (N, S, H, D), as in :func:`ms_deform_attn`.
        spatial_shapes: (h, w) of the L levels.
        reference_points: (N or 1, Q, L or 1, 2) as (x, y) in [0, 1].
        query: (N, Q, E).
        query_pos: (N or 1, Q, E), added to the query.
        offset_projection: Maps E channels to (H, L, P, 2) offsets in pixels of each level.
        logit_projection: Maps E channels to (H, L, P) logits.
        num_points: Points P of each level.
        backend: As in :func:`ms_deform_attn`.

    Returns:
        (N, Q, H * D), dtype of ``value``.

    Raises:
        ValueError: If shapes do not fit each other or the backend is unknown.
        RuntimeError: If ``'triton'`` is requested where it cannot run.
    """
    projections = offset_projection, logit_projection
    is_linear = all(type(layer) is nn.Linear for layer in projections)
    if is_linear and value.is_cpu and not is_exporting():
        selected, _ = select_backend(value, backend)
        if selected == 'torch':
            shapes = [(int(height), int(width)) for height, width in spatial_shapes]
            _check_value(value, shapes)
            _check_references(reference_points, len(query), query.shape[1], len(shapes))
            weights = [(layer.weight, layer.bias) for layer in projections]
            return projected_attention_cpu(
                value, shapes, reference_points, query, query_pos, *weights
            )
    placed = query if query_pos is None else query + query_pos
    grid = (*query.shape[:2], value.shape[2], len(spatial_shapes), num_points)
    offsets = offset_projection(placed).view(*grid, 2)
    logits = logit_projection(placed).view(grid)
    return deformable_attention(value, spatial_shapes, reference_points, offsets, logits, backend)


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
    finite = torch.ones_like(locations, dtype=torch.bool)
    if not is_exporting():  # ONNX has no reduction of booleans, and a file holds finite weights
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
        if not is_exporting() and height * width == 0:
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


def _exported_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    reference_points: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> Tensor:
    """Compute :func:`deformable_attention` by operators of a graph, whose sizes may be symbols."""
    locations = []
    for level, (height, width) in enumerate(spatial_shapes):
        # One level of references stands for all.
        reference = reference_points[:, :, min(level, reference_points.shape[2] - 1)]
        reference = reference[:, :, None, None]  # (N or 1, Q, 1, 1, 2)
        offset = offsets[:, :, :, level]
        x = reference[..., 0] + offset[..., 0] / width
        y = reference[..., 1] + offset[..., 1] / height
        locations.append(torch.stack([x, y], dim=-1))
    weights = logits.flatten(3).softmax(dim=-1).unflatten(3, logits.shape[3:])
    return ms_deform_attn_reference(value, spatial_shapes, torch.stack(locations, dim=3), weights)


def check_backend(backend: str) -> None:
    """Raise a ValueError if there is no such backend."""
    if backend not in BACKENDS:
        raise ValueError(f'backend is one of {", ".join(map(repr, BACKENDS))}, got {backend!r}')


def _check_value(value: Tensor, shapes: list[tuple[int, int]]) -> None:
    if value.ndim != 4:
        raise ValueError(f'value must be (N, S, H, D), got {tuple(value.shape)}')
    total = sum(height * width for height, width in shapes)
    if total != value.shape[1]:
        raise ValueError(
            f'spatial_shapes {shapes} hold {total} places, but value has {value.shape[1]} rows'
        )


def _check_shapes(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> None:
    _check_value(value, shapes)
    if locations.ndim != 6 or weights.shape != locations.shape[:-1] or locations.shape[-1] != 2:
        raise ValueError(
            'sampling_locations must be (N, Q, H, L, P, 2) and attention_weights (N, Q, H, L, P), '
            f'got {tuple(locations.shape)} and {tuple(weights.shape)}'
        )
    expected = (value.shape[0], value.shape[2], len(shapes))
    actual = (locations.shape[0], locations.shape[2], locations.shape[3])
    if actual != expected:
        raise ValueError(
            f'sampling_locations are for (images, heads, levels) {actual}, value and levels for '
            f'{expected}'
        )


def _check_references(references: Tensor, images: int, queries: int, levels: int) -> None:
    if references.ndim == 4:
        fits = references.shape[0] in (1, images) and references.shape[2] in (1, levels)
        if fits and references.shape[1] == queries and references.shape[3] == 2:
            return
    raise ValueError(
        f'reference_points must be ({images} or 1, {queries}, {levels} or 1, 2), got '
        f'{tuple(references.shape)}'
    )
