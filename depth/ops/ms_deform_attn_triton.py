"""Deformable attention as Triton kernels, for CUDA.

A program handles one head and a block of neighbouring queries, whose rows overlap in the cache.
Sampled values stay in registers. The kernels read sampling locations and attention weights, or
(``FUSED``) what these are computed from: reference points, offsets in pixels and the logits of the
softmax. The fused form keeps locations in float32 and stores neither locations nor weights.

The backward pass samples again. The gradient of the values is a sum over the queries that touched a
pixel: small levels are summed in tiles by matrix products, one addition to memory per tile, larger
levels by atomics. The order of atomic additions changes from run to run, and with it the last bits
of this gradient (and of no other). Under ``torch.use_deterministic_algorithms(True)`` the sums are
integers (fixed-point numbers), whose order does not matter.

Every load is cast to float32 first: Triton's interpreter computes bfloat16 wrongly without an error.
``TRITON_INTERPRET=1`` (set before Triton is imported) runs the kernels on the CPU, for tests.
"""

import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from depth.device_constants import device_constant

try:
    import triton
    import triton.language as tl
except ImportError:  # no Triton on this platform
    triton = None

OLDEST_TRITON = (3, 6)  # oldest version whose interpreter and compiler were checked
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Elements of a value tile (queries of a block times size of a head) and warps of a program. With
# one warp, reductions over a tile need no barrier. The first pair is used where nothing may be
# measured; on CUDA the fastest of them is found at the first call for each kind of input.
LAUNCHES = [(128, 1), (256, 1), (256, 2), (512, 4)]
# A level is summed in tiles if it has few pixels and each receives many sampling points.
TILED_PIXELS = 512
TILED_POINTS_PER_PIXEL = 32
TILE_PIXELS = 32
TILE_QUERIES = 32  # queries of one matrix product
TILE_SPAN = 2048  # queries of one program


def unsupported_reason(value: Tensor) -> str | None:
    """Return the reason why the kernels cannot process ``value`` (N, S, H, D), None if they can."""
    size = value.shape[-1]
    if triton is None:
        return 'Triton is not installed'
    major, minor = triton.__version__.split('.')[:2]
    if (int(major), int(minor)) < OLDEST_TRITON:
        oldest = '.'.join(map(str, OLDEST_TRITON))
        return f'the kernels were checked with Triton {oldest} and newer, Triton {triton.__version__} is installed'
    if os.environ.get('TRITON_INTERPRET') != '1':
        if not value.is_cuda:
            return f'Triton needs a CUDA device, value is on {value.device}'
        if not _has_compiler():
            return 'Triton needs a C compiler to launch kernels: install gcc or clang, or set CC'
    if value.dtype not in DTYPES:
        return f'the kernels take float32, float16 and bfloat16, value is {value.dtype}'
    if size < 16 or size > 128 or size & (size - 1):  # tl.arange takes powers of two
        return f'the size of a head must be 16, 32, 64 or 128, it is {size}'
    if value.shape[1] * value.shape[2] * size >= 1 << 31:
        return f'an image has {value.shape[1] * value.shape[2] * size} values, the kernels count to 2^31'
    return None


@functools.cache
def _has_compiler() -> bool:
    return bool(os.environ.get('CC') or shutil.which('gcc') or shutil.which('clang'))


@contextmanager
def use_launches(launches: list[tuple[int, int]]) -> Iterator[None]:
    """Context manager that replaces ``LAUNCHES``: pairs of tile and warps; a single one is not timed."""
    global LAUNCHES
    previous = LAUNCHES
    LAUNCHES = launches
    try:
        yield
    finally:
        LAUNCHES = previous


def ms_deform_attn_triton(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Implementation of :func:`depth.ops.ms_deform_attn` by Triton kernels.

    Arguments and result as there.

    Raises:
        RuntimeError: If the kernels cannot process these tensors; the message has the reason.
    """
    _check_supported(value)
    return _forward_op(value, [side for shape in shapes for side in shape], locations, weights)


def deformable_attention_triton(
    value: Tensor,
    shapes: list[tuple[int, int]],
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> Tensor:
    """Implementation of :func:`depth.ops.deformable_attention` by Triton kernels.

    Arguments and result as there.

    Raises:
        RuntimeError: If the kernels cannot process these tensors; the message has the reason.
    """
    _check_supported(value)
    sides = [side for shape in shapes for side in shape]
    return _fused_forward_op(value, sides, references, offsets, logits)


def _check_supported(value: Tensor) -> None:
    reason = unsupported_reason(value)
    if reason:
        raise RuntimeError(
            f"ms_deform_attn: backend 'triton' cannot run: {reason}; use backend='auto'"
        )


if triton is not None:
    # Sizes that change with the image: kernels are not compiled again for 1 or multiples of 16.
    SIZES = ['rows', 'queries', 'reference_image', 'reference_query', 'reference_level']

    @triton.jit
    def _log_sum_exp(logit, owner, query_mask, COUNT: tl.constexpr, COUNT_PAD: tl.constexpr):
        """Return log(sum(exp(logits))) of the COUNT sampling points of each query."""
        column = tl.arange(0, COUNT_PAD)[None, :]
        mask = query_mask[:, None] & (column < COUNT)
        # Queries beyond the last one get zeros rather than -inf, so that nothing becomes NaN.
        fill = tl.where(query_mask[:, None] & (column >= COUNT), float('-inf'), 0.0)
        logits = tl.load(logit + owner[:, None] * COUNT + column, mask=mask, other=0.0)
        logits = logits.to(tl.float32) + fill
        peak = tl.max(logits, axis=1)
        return peak + tl.log(tl.sum(tl.exp(logits - peak[:, None]), axis=1))

    @triton.jit
    def _origin(reference, query_mask, width, height, FUSED: tl.constexpr):
        """Return (x, y) in pixels of a level that the offsets of each query are added to."""
        if FUSED:
            x = tl.load(reference, mask=query_mask, other=0.0).to(tl.float32) * width - 0.5
            y = tl.load(reference + 1, mask=query_mask, other=0.0).to(tl.float32) * height - 0.5
        else:
            x = -0.5
            y = -0.5
        return x, y

    @triton.jit
    def _position(
        location, row, query_mask, x_origin, y_origin, width, height, FUSED: tl.constexpr
    ):
        """Return the pixel coordinates (x, y) of a sampling point of each query."""
        x = tl.load(location + row * 2, mask=query_mask, other=0.0).to(tl.float32)
        y = tl.load(location + row * 2 + 1, mask=query_mask, other=0.0).to(tl.float32)
        if FUSED:
            x += x_origin
            y += y_origin
        else:
            x = x * width - 0.5
            y = y * height - 0.5
        return x, y

    @triton.jit
    def _share(weight, row, query_mask, log_sum, FUSED: tl.constexpr):
        """Return the attention weight of a sampling point of each query."""
        share = tl.load(weight + row, mask=query_mask, other=0.0).to(tl.float32)
        if FUSED:
            share = tl.exp(share - log_sum)
        return share

    @triton.jit
    def _corners(x, y, query_mask, width, height, start, PITCH: tl.constexpr):
        """Return position in the cell, ``inside``, offsets of the two rows and masks of the corners."""
        # False for NaN; such points go to (0, 0), where their masks and gradients are zero.
        inside = query_mask & (x > -1) & (x < width) & (y > -1) & (y < height)
        x = tl.where(inside, x, 0.0)
        y = tl.where(inside, y, 0.0)
        left = tl.floor(x)
        top = tl.floor(y)
        column = left.to(tl.int32)
        line = top.to(tl.int32)
        on_left = inside & (column >= 0)
        on_right = inside & (column + 1 < width)
        on_top = line >= 0
        on_low = line + 1 < height
        first = (start + line * width + column) * PITCH
        return (
            x - left,
            y - top,
            inside,
            first,
            first + width * PITCH,
            on_left & on_top,
            on_right & on_top,
            on_left & on_low,
            on_right & on_low,
        )

    @triton.jit
    def _load_tile(pointers, mask):
        """Load rows of a head, (BLOCK, SIZE), as float32."""
        return tl.load(pointers, mask=mask[:, None], other=0.0).to(tl.float32)

    @triton.jit(do_not_specialize=SIZES)
    def _forward_kernel(
        value,
        level_table,
        reference,
        location,
        weight,
        output,
        rows,
        queries,
        reference_image,
        reference_query,
        reference_level,
        FUSED: tl.constexpr,
        HEADS: tl.constexpr,
        SIZE: tl.constexpr,
        LEVELS: tl.constexpr,
        POINTS: tl.constexpr,
        COUNT_PAD: tl.constexpr,
        TILE: tl.constexpr,
    ):
        BLOCK: tl.constexpr = TILE // SIZE
        PITCH: tl.constexpr = HEADS * SIZE
        head = tl.program_id(1)
        image = tl.program_id(2).to(tl.int64)  # 64 bits: offsets of large batches overflow 32
        query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        query_mask = query < queries
        owner = query * HEADS + head  # row of the image's output (Q, H)
        channel = tl.arange(0, SIZE)[None, :]
        first = image * queries * HEADS
        location += first * (LEVELS * POINTS * 2)
        weight += first * (LEVELS * POINTS)
        output += first * SIZE
        value += image * rows * PITCH + head * SIZE
        reference += image * reference_image + query * reference_query
        log_sum = tl.zeros((BLOCK,), tl.float32)
        if FUSED:
            log_sum = _log_sum_exp(weight, owner, query_mask, LEVELS * POINTS, COUNT_PAD)
        total = tl.zeros((BLOCK, SIZE), tl.float32)
        for level in range(LEVELS):
            height = tl.load(level_table + level * 4)
            width = tl.load(level_table + level * 4 + 1)
            start = tl.load(level_table + level * 4 + 2)
            x_origin, y_origin = _origin(
                reference + level * reference_level, query_mask, width, height, FUSED
            )
            for point in range(POINTS):
                row = (owner * LEVELS + level) * POINTS + point
                x, y = _position(
                    location, row, query_mask, x_origin, y_origin, width, height, FUSED
                )
                x, y, _, top, low, m00, m01, m10, m11 = _corners(
                    x, y, query_mask, width, height, start, PITCH
                )
                share = _share(weight, row, query_mask, log_sum, FUSED)
                top_rows = value + (top[:, None] + channel)
                low_rows = value + (low[:, None] + channel)
                top_share = (1 - y) * share
                low_share = y * share
                total += ((1 - x) * top_share)[:, None] * _load_tile(top_rows, m00)
                total += (x * top_share)[:, None] * _load_tile(top_rows + PITCH, m01)
                total += ((1 - x) * low_share)[:, None] * _load_tile(low_rows, m10)
                total += (x * low_share)[:, None] * _load_tile(low_rows + PITCH, m11)
        tl.store(
            output + owner[:, None] * SIZE + channel,
            total.to(output.dtype.element_ty),
            mask=query_mask[:, None],
        )

    @triton.jit
    def _add_tile(pointers, tile, mask, scale, FIXED: tl.constexpr):
        """Add to the gradient of the values; as fixed-point numbers, where FIXED."""
        # No order is needed between the sums: relaxed.
        if FIXED:
            tl.atomic_add(pointers, (tile * scale).to(tl.int64), mask=mask, sem='relaxed')
        else:
            tl.atomic_add(pointers, tile, mask=mask, sem='relaxed')

    @triton.jit(do_not_specialize=SIZES)
    def _backward_kernel(
        value,
        level_table,
        reference,
        location,
        weight,
        output,
        grad,
        grad_value,
        grad_location,
        grad_weight,
        log_sums,
        scale,
        rows,
        queries,
        reference_image,
        reference_query,
        reference_level,
        FUSED: tl.constexpr,
        FIXED: tl.constexpr,
        HEADS: tl.constexpr,
        SIZE: tl.constexpr,
        LEVELS: tl.constexpr,
        POINTS: tl.constexpr,
        COUNT_PAD: tl.constexpr,
        TILE: tl.constexpr,
    ):
        """Write the gradients of locations and weights; add to that of the levels without tiles.

        ``output`` and ``log_sums`` belong to the fused form: with weights w, samples s and output
        o = sum(w s), the gradient of a logit is w (g s - g o), as in flash attention's backward
        pass.
        """
        BLOCK: tl.constexpr = TILE // SIZE
        PITCH: tl.constexpr = HEADS * SIZE
        head = tl.program_id(1)
        image = tl.program_id(2).to(tl.int64)
        query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        query_mask = query < queries
        owner = query * HEADS + head
        channel = tl.arange(0, SIZE)[None, :]
        first = image * queries * HEADS
        location += first * (LEVELS * POINTS * 2)
        grad_location += first * (LEVELS * POINTS * 2)
        weight += first * (LEVELS * POINTS)
        grad_weight += first * (LEVELS * POINTS)
        output += first * SIZE
        grad += first * SIZE
        log_sums += first
        value += image * rows * PITCH + head * SIZE
        grad_value += image * rows * PITCH + head * SIZE
        reference += image * reference_image + query * reference_query
        g = _load_tile(grad + owner[:, None] * SIZE + channel, query_mask)
        fixed_scale = tl.load(scale)
        log_sum = tl.zeros((BLOCK,), tl.float32)
        mean = tl.zeros((BLOCK,), tl.float32)  # g o
        if FUSED:
            log_sum = _log_sum_exp(weight, owner, query_mask, LEVELS * POINTS, COUNT_PAD)
            tl.store(log_sums + owner, log_sum, mask=query_mask)
            attended = _load_tile(output + owner[:, None] * SIZE + channel, query_mask)
            mean = tl.sum(g * attended, axis=1)
        for level in range(LEVELS):
            height = tl.load(level_table + level * 4)
            width = tl.load(level_table + level * 4 + 1)
            start = tl.load(level_table + level * 4 + 2)
            tiled = tl.load(level_table + level * 4 + 3)
            x_origin, y_origin = _origin(
                reference + level * reference_level, query_mask, width, height, FUSED
            )
            for point in range(POINTS):
                row = (owner * LEVELS + level) * POINTS + point
                x, y = _position(
                    location, row, query_mask, x_origin, y_origin, width, height, FUSED
                )
                x, y, inside, top, low, m00, m01, m10, m11 = _corners(
                    x, y, query_mask, width, height, start, PITCH
                )
                share = _share(weight, row, query_mask, log_sum, FUSED)
                top_rows = value + (top[:, None] + channel)
                low_rows = value + (low[:, None] + channel)
                d00 = tl.sum(g * _load_tile(top_rows, m00), axis=1)
                d01 = tl.sum(g * _load_tile(top_rows + PITCH, m01), axis=1)
                d10 = tl.sum(g * _load_tile(low_rows, m10), axis=1)
                d11 = tl.sum(g * _load_tile(low_rows + PITCH, m11), axis=1)
                by_x = (1 - y) * (d01 - d00) + y * (d11 - d10)
                by_y = (1 - x) * (d10 - d00) + x * (d11 - d01)
                sampled = (1 - y) * ((1 - x) * d00 + x * d01) + y * ((1 - x) * d10 + x * d11)
                by_x = tl.where(inside, by_x * share, 0.0)
                by_y = tl.where(inside, by_y * share, 0.0)
                sampled = tl.where(inside, sampled, 0.0)
                if FUSED:
                    sampled = share * (sampled - mean)
                else:
                    by_x *= width
                    by_y *= height
                dtype = grad_location.dtype.element_ty
                tl.store(grad_location + row * 2, by_x.to(dtype), mask=query_mask)
                tl.store(grad_location + row * 2 + 1, by_y.to(dtype), mask=query_mask)
                tl.store(
                    grad_weight + row, sampled.to(grad_weight.dtype.element_ty), mask=query_mask
                )
                if tiled == 0:
                    top_share = (1 - y) * share
                    low_share = y * share
                    top_sums = grad_value + (top[:, None] + channel)
                    low_sums = grad_value + (low[:, None] + channel)
                    part = ((1 - x) * top_share)[:, None] * g
                    _add_tile(top_sums, part, m00[:, None], fixed_scale, FIXED)
                    part = (x * top_share)[:, None] * g
                    _add_tile(top_sums + PITCH, part, m01[:, None], fixed_scale, FIXED)
                    part = ((1 - x) * low_share)[:, None] * g
                    _add_tile(low_sums, part, m10[:, None], fixed_scale, FIXED)
                    part = (x * low_share)[:, None] * g
                    _add_tile(low_sums + PITCH, part, m11[:, None], fixed_scale, FIXED)

    @triton.jit(do_not_specialize=SIZES)
    def _tiled_kernel(
        tile_table,
        reference,
        location,
        weight,
        grad,
        grad_value,
        log_sums,
        scale,
        rows,
        queries,
        reference_image,
        reference_query,
        reference_level,
        FUSED: tl.constexpr,
        FIXED: tl.constexpr,
        HEADS: tl.constexpr,
        SIZE: tl.constexpr,
        LEVELS: tl.constexpr,
        POINTS: tl.constexpr,
        POINTS_PAD: tl.constexpr,
        PIXELS: tl.constexpr,
        BLOCK: tl.constexpr,
        SPAN: tl.constexpr,
    ):
        """Sum the gradient of PIXELS neighbouring pixels of a level over SPAN queries.

        Pixel by query, the coefficients of bilinear sampling form a matrix; the sum is its product
        with the gradients of the queries. Blocks of queries that touch no pixel are left out.
        """
        PITCH: tl.constexpr = HEADS * SIZE
        head = tl.program_id(1) % HEADS
        image = tl.program_id(2).to(tl.int64)
        level = tl.load(tile_table + tl.program_id(0) * 5)
        height = tl.load(tile_table + tl.program_id(0) * 5 + 1)
        width = tl.load(tile_table + tl.program_id(0) * 5 + 2)
        start = tl.load(tile_table + tl.program_id(0) * 5 + 3)
        first = tl.load(tile_table + tl.program_id(0) * 5 + 4)
        pixel = first + tl.arange(0, PIXELS)
        column = (pixel % width).to(tl.float32)
        line = (pixel // width).to(tl.float32)
        top = (first // width - 1).to(tl.float32)
        bottom = ((first + PIXELS - 1) // width + 1).to(tl.float32)
        channel = tl.arange(0, SIZE)[None, :]
        begin = (tl.program_id(1) // HEADS) * SPAN
        reference += image * reference_image + level * reference_level
        first_owner = image * queries * HEADS
        location += first_owner * (LEVELS * POINTS * 2)
        weight += first_owner * (LEVELS * POINTS)
        grad += first_owner * SIZE
        log_sums += first_owner
        points = tl.arange(0, POINTS_PAD)[None, :]
        total = tl.zeros((PIXELS, SIZE), tl.float32)
        for block in range(0, SPAN, BLOCK):
            query = begin + block + tl.arange(0, BLOCK)
            query_mask = query < queries
            owner = query * HEADS + head
            row = (owner * LEVELS + level) * POINTS
            places = location + (row[:, None] + points) * 2 + 1
            mask = query_mask[:, None] & (points < POINTS)
            x_origin, y_origin = _origin(
                reference + query * reference_query, query_mask, width, height, FUSED
            )
            lines = tl.load(places, mask=mask, other=float('nan')).to(tl.float32)
            if FUSED:
                lines += y_origin[:, None]
            else:
                lines = lines * height - 0.5
            touched = (lines > top) & (lines < bottom)
            if tl.max(tl.max(touched.to(tl.int32), axis=1), axis=0) > 0:
                log_sum = tl.zeros((BLOCK,), tl.float32)
                if FUSED:
                    log_sum = tl.load(log_sums + owner, mask=query_mask, other=0.0)
                coefficients = tl.zeros((PIXELS, BLOCK), tl.float32)
                for point in range(POINTS):
                    x, y = _position(
                        location, row + point, query_mask, x_origin, y_origin, width, height, FUSED
                    )
                    share = _share(weight, row + point, query_mask, log_sum, FUSED)
                    inside = query_mask & (x > -1) & (x < width) & (y > -1) & (y < height)
                    x = tl.where(inside, x, 0.0)
                    y = tl.where(inside, y, 0.0)
                    share = tl.where(inside, share, 0.0)
                    by_x = tl.maximum(1 - tl.abs(column[:, None] - x[None, :]), 0.0)
                    by_y = tl.maximum(1 - tl.abs(line[:, None] - y[None, :]), 0.0)
                    coefficients += by_x * (by_y * share[None, :])
                g = _load_tile(grad + owner[:, None] * SIZE + channel, query_mask)
                # Three products in TF32: as precise as float32, on the matrix units.
                total = tl.dot(coefficients, g, total, input_precision='tf32x3')
        sums = grad_value + (image * rows + start + pixel)[:, None] * PITCH + head * SIZE + channel
        _add_tile(sums, total, (pixel < height * width)[:, None], tl.load(scale), FIXED)

    _configs = []
    for _tile, _warps in LAUNCHES:
        _configs.append(triton.Config(dict(TILE=_tile), num_warps=_warps))
    # Dtypes are part of the key of themselves.
    _KEY = ['FUSED', 'SIZE', 'LEVELS', 'POINTS']
    _forward_tuned = triton.autotune(_configs, key=_KEY, cache_results=True)(_forward_kernel)
    _backward_tuned = triton.autotune(
        _configs, key=_KEY, reset_to_zero=['grad_value'], cache_results=True
    )(_backward_kernel)


@torch.library.custom_op(
    'depth::ms_deform_attn_triton',
    mutates_args=(),
    # Written out because torch 2.4 cannot read it off list[int].
    schema='(Tensor value, int[] sides, Tensor locations, Tensor weights) -> Tensor',
)
def _forward_op(value: Tensor, sides: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    return _forward(value, sides, None, locations, weights)


@torch.library.custom_op(
    'depth::ms_deform_attn_triton_backward',
    mutates_args=(),
    schema=(
        '(Tensor grad, Tensor value, int[] sides, Tensor locations, Tensor weights) -> (Tensor, Tensor, Tensor)'
    ),
)
def _backward_op(
    grad: Tensor, value: Tensor, sides: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return _backward(grad, value, sides, None, locations, weights, None)


@torch.library.custom_op(
    'depth::deformable_attention_triton',
    mutates_args=(),
    schema=(
        '(Tensor value, int[] sides, Tensor references, Tensor offsets, Tensor logits) -> Tensor'
    ),
)
def _fused_forward_op(
    value: Tensor, sides: list[int], references: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    return _forward(value, sides, references, offsets, logits)


@torch.library.custom_op(
    'depth::deformable_attention_triton_backward',
    mutates_args=(),
    schema=(
        '(Tensor grad, Tensor value, int[] sides, Tensor references, Tensor offsets, Tensor logits, '
        'Tensor output) -> (Tensor, Tensor, Tensor)'
    ),
)
def _fused_backward_op(
    grad: Tensor,
    value: Tensor,
    sides: list[int],
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
    output: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return _backward(grad, value, sides, references, offsets, logits, output)


@_forward_op.register_fake
@_fused_forward_op.register_fake
def _(value: Tensor, sides: list[int], *tensors: Tensor) -> Tensor:
    queries = tensors[-1].shape[1]
    return value.new_empty(value.shape[0], queries, value.shape[2] * value.shape[3])


@_backward_op.register_fake
def _(
    grad: Tensor, value: Tensor, sides: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in (value, locations, weights))


@_fused_backward_op.register_fake
def _(
    grad: Tensor,
    value: Tensor,
    sides: list[int],
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
    output: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in (value, offsets, logits))


def _setup_context(ctx, inputs: tuple, output: Tensor) -> None:
    value, ctx.sides, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, locations, weights = ctx.saved_tensors
    grad_value, grad_locations, grad_weights = _backward_op(
        grad, value, ctx.sides, locations, weights
    )
    return grad_value, None, grad_locations, grad_weights


_forward_op.register_autograd(_autograd, setup_context=_setup_context)


def _setup_fused_context(ctx, inputs: tuple, output: Tensor) -> None:
    value, ctx.sides, references, offsets, logits = inputs
    ctx.save_for_backward(value, references, offsets, logits, output)


def _fused_autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, references, offsets, logits, output = ctx.saved_tensors
    grad_value, grad_offsets, grad_logits = _fused_backward_op(
        grad, value, ctx.sides, references, offsets, logits, output
    )
    grad_references = None
    if ctx.needs_input_grad[2]:
        # x = reference * w + offset in pixels: the gradient of the offset, summed, times (w, h).
        totals = grad_offsets.sum(dim=(2, 4), dtype=torch.float32)  # (N, Q, L, 2)
        parts = []
        for level, total in enumerate(totals.unbind(2)):
            height, width = ctx.sides[2 * level : 2 * level + 2]
            parts.append(torch.stack([total[..., 0] * width, total[..., 1] * height], dim=-1))
        totals = torch.stack(parts, dim=2)
        grad_references = totals.sum_to_size(references.shape).to(references.dtype)
    return grad_value, None, grad_references, grad_offsets, grad_logits


_fused_forward_op.register_autograd(_fused_autograd, setup_context=_setup_fused_context)


def _forward(
    value: Tensor, sides: list[int], references: Tensor | None, locations: Tensor, weights: Tensor
) -> Tensor:
    """Return the attention (N, Q, H * D); ``references`` is None for locations and weights.

    Otherwise these are offsets (N, Q, H, L, P, 2) and logits (N, Q, H, L, P).
    """
    images, queries, heads, levels, points, _ = locations.shape
    output = value.new_zeros(images, queries, heads * value.shape[-1])
    if images * queries * heads * levels * points == 0:
        return output
    options = _options(value, references, locations)
    kernel = _pick(_forward_kernel, _forward_tuned)
    with torch.cuda.device_of(value):
        kernel[_grid(options, images, queries, heads)](
            value.contiguous(),
            _level_table(tuple(sides), (False,) * levels, value.device),
            *_reference_arguments(references, locations),
            weights.contiguous(),
            output,
            value.shape[1],
            queries,
            *_reference_strides(references),
            **options,
        )
    return output


def _backward(
    grad: Tensor,
    value: Tensor,
    sides: list[int],
    references: Tensor | None,
    locations: Tensor,
    weights: Tensor,
    output: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of value, locations and weights (fused: value, offsets and logits)."""
    images, queries, heads, levels, points, _ = locations.shape
    fixed = torch.are_deterministic_algorithms_enabled()
    grad_locations = torch.zeros(locations.shape, dtype=locations.dtype, device=value.device)
    grad_weights = torch.zeros(weights.shape, dtype=weights.dtype, device=value.device)
    if images * queries * heads * levels * points == 0:
        return torch.zeros_like(value), grad_locations, grad_weights
    grad = grad.contiguous()
    scale = torch.ones((), device=value.device)
    bound = None
    if fixed:
        bound, scale = _fixed_point_scale(grad, weights, references is not None)
    sums = torch.zeros(
        value.shape, dtype=torch.int64 if fixed else torch.float32, device=value.device
    )
    tiled = tuple(
        is_tiled(height * width, queries * points)
        for height, width in zip(sides[::2], sides[1::2], strict=True)
    )
    log_sums = torch.empty(images, queries, heads, device=value.device)
    places = _reference_arguments(references, locations)
    strides = _reference_strides(references)
    weights = weights.contiguous()
    options = _options(value, references, locations) | dict(FIXED=fixed)
    kernel = _pick(_backward_kernel, _backward_tuned)
    with torch.cuda.device_of(value):
        kernel[_grid(options, images, queries, heads)](
            value.contiguous(),
            _level_table(tuple(sides), tiled, value.device),
            *places,
            weights,
            grad if output is None else output,
            grad,
            sums,
            grad_locations,
            grad_weights,
            log_sums,
            scale,
            value.shape[1],
            queries,
            *strides,
            **options,
        )
        if any(tiled):
            table = _tile_table(tuple(sides), tiled, value.device)
            options = {key: options[key] for key in options if key not in LAUNCH_OPTIONS}
            span = min(TILE_SPAN, max(TILE_QUERIES, triton.next_power_of_2(queries)))
            spans = triton.cdiv(queries, span)
            _tiled_kernel[(len(table), heads * spans, images)](
                table,
                *places,
                weights,
                grad,
                sums,
                log_sums,
                scale,
                value.shape[1],
                queries,
                *strides,
                POINTS_PAD=triton.next_power_of_2(points),
                PIXELS=TILE_PIXELS,
                BLOCK=TILE_QUERIES,
                SPAN=span,
                num_warps=4,
                enable_fp_fusion=True,
                **options,
            )
    if bound is not None:
        # NaN where the incoming gradient is not finite: it has to be seen, as in a float sum.
        sums = sums.to(torch.float32) / torch.where(bound.isfinite(), scale, torch.nan)
    return sums.to(value.dtype), grad_locations, grad_weights


LAUNCH_OPTIONS = ('TILE', 'COUNT_PAD', 'num_warps', 'enable_fp_fusion')


def is_tiled(pixels: int, points: int) -> bool:
    """Return whether a level that receives ``points`` sampling points a head is summed in tiles."""
    return 0 < pixels <= TILED_PIXELS and points >= TILED_POINTS_PER_PIXEL * pixels


def _fixed_point_scale(grad: Tensor, weights: Tensor, fused: bool) -> tuple[Tensor, Tensor]:
    """Return a bound of every sum of the value's gradient, and a scale to 62-bit integers.

    All points of all queries of a head may meet in one pixel, each with a coefficient of at most 1.
    """
    bound = grad.abs().amax().float() * weights.shape[1]
    if not fused:  # otherwise the weights of a query and head add up to 1
        bound = bound * weights.abs().amax().float() * weights[0, 0, 0].numel()
    exponent = (61 - bound.log2()).floor().clamp(-126, 126)
    return bound, exponent.exp2()


def _options(value: Tensor, references: Tensor | None, locations: Tensor) -> dict:
    """Return the compile-time arguments of a kernel, and launch options where they are not timed.

    Raises:
        ValueError: If an image has too many sampling points.
    """
    _, queries, heads, levels, points, _ = locations.shape
    if queries * heads * levels * points * 2 >= 1 << 31:
        raise ValueError(
            f'an image has {queries} queries with {heads * levels * points} sampling points each; the Triton kernels '
            "count to 2^31 coordinates, take backend='torch'"
        )
    options = dict(
        FUSED=references is not None,
        HEADS=heads,
        SIZE=value.shape[-1],
        LEVELS=levels,
        POINTS=points,
        COUNT_PAD=triton.next_power_of_2(levels * points),
        enable_fp_fusion=True,
    )
    if not _may_time():
        options['TILE'], options['num_warps'] = LAUNCHES[0]
    return options


def _may_time() -> bool:
    """Return whether launches may be timed: not in the interpreter, not while a graph is recorded.

    Deterministic runs take the same launch always, because sums inside of a tile depend on it.
    """
    return (
        len(LAUNCHES) > 1
        and os.environ.get('TRITON_INTERPRET') != '1'
        and not torch.are_deterministic_algorithms_enabled()
        and not (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing())
    )


def _pick(kernel, tuned):
    return tuned if _may_time() else kernel


def _grid(options: dict, images: int, queries: int, heads: int):
    """Return the grid (blocks of queries, heads, images) as Triton's function of the options."""
    return lambda meta: (triton.cdiv(queries, meta['TILE'] // options['SIZE']), heads, images)


def _reference_arguments(references: Tensor | None, locations: Tensor) -> tuple[Tensor, Tensor]:
    """Return contiguous reference points (any tensor where there are none) and locations."""
    locations = locations.contiguous()
    return (locations if references is None else references.contiguous()), locations


def _reference_strides(references: Tensor | None) -> tuple[int, int, int]:
    """Return the strides of reference points (N or 1, Q, L or 1, 2); 0 along a broadcast dimension."""
    if references is None:
        return 0, 0, 0
    images, queries, levels, _ = references.shape
    return queries * levels * 2 if images > 1 else 0, levels * 2, 2 if levels > 1 else 0


def _level_table(sides: tuple[int, ...], tiled: tuple[bool, ...], device: torch.device) -> Tensor:
    """Return height, width, first row and whether it is summed in tiles of each level, (L, 4) int32."""
    rows = []
    start = 0
    for height, width, in_tiles in zip(sides[::2], sides[1::2], tiled, strict=True):
        rows.append((height, width, start, int(in_tiles)))
        start += height * width
    return device_constant(tuple(rows), device, torch.int32)


def _tile_table(sides: tuple[int, ...], tiled: tuple[bool, ...], device: torch.device) -> Tensor:
    """Return level, height, width, first row and first pixel of each tile, (tiles, 5) int32."""
    rows = []
    start = 0
    for level, (height, width) in enumerate(zip(sides[::2], sides[1::2], strict=True)):
        if tiled[level]:
            for first in range(0, height * width, TILE_PIXELS):
                rows.append((level, height, width, start, first))
        start += height * width
    return device_constant(tuple(rows), device, torch.int32)
