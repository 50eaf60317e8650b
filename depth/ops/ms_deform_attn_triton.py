"""Deformable attention as Triton kernels, for CUDA.

A program handles one head and a block of neighbouring queries, whose rows overlap in the cache.
Sampled values stay in registers. The backward pass samples again and adds to the gradient of the
values with atomics, so that this gradient (and no other) may differ in the last bits from run to
run. Every load is cast to float32 first: Triton's interpreter computes bfloat16 wrongly without an
error.

``TRITON_INTERPRET=1`` (set before Triton is imported) runs the kernels on the CPU, for tests.
"""

import os

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # no Triton on this platform
    triton = None

OLDEST_TRITON = (
    3,
    9,
)  # the only one the kernels were checked with; 3.0's interpreter computes zeros
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
TILE = 1024  # elements of a value tile: queries of a block times the size of a head


def unsupported_reason(value: Tensor) -> str | None:
    """Return the reason why the kernels cannot process ``value`` (N, S, H, D), None if they can."""
    size = value.shape[-1]
    if triton is None:
        return 'Triton is not installed'
    major, minor = triton.__version__.split('.')[:2]
    if (int(major), int(minor)) < OLDEST_TRITON:
        oldest = '.'.join(map(str, OLDEST_TRITON))
        return f'the kernels were checked with Triton {oldest} and newer, Triton {triton.__version__} is installed'
    if not value.is_cuda and os.environ.get('TRITON_INTERPRET') != '1':
        return f'Triton needs a CUDA device, value is on {value.device}'
    if value.dtype not in DTYPES:
        return f'the kernels take float32, float16 and bfloat16, value is {value.dtype}'
    if size < 16 or size > 128 or size & (size - 1):  # tl.arange takes powers of two
        return f'the size of a head must be 16, 32, 64 or 128, it is {size}'
    return None


def ms_deform_attn_triton(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Implementation of :func:`depth.ops.ms_deform_attn` by Triton kernels.

    Arguments and result as there.

    Raises:
        RuntimeError: If the kernels cannot process these tensors; the message has the reason.
    """
    reason = unsupported_reason(value)
    if reason:
        raise RuntimeError(
            f"ms_deform_attn: backend 'triton' cannot run: {reason}; use backend='auto'"
        )
    return _forward_op(value, [side for shape in shapes for side in shape], locations, weights)


if triton is not None:

    @triton.jit
    def _corners(
        location, row, image, query_mask, level_ptr, level, HEADS: tl.constexpr, SIZE: tl.constexpr
    ):
        """Return position, level sides, offsets and masks of the corners of a point per query."""
        height = tl.load(level_ptr + level * 3)
        width = tl.load(level_ptr + level * 3 + 1)
        start = tl.load(level_ptr + level * 3 + 2)
        x = tl.load(location + row * 2, mask=query_mask, other=-9.0).to(tl.float32) * width - 0.5
        y = (
            tl.load(location + row * 2 + 1, mask=query_mask, other=-9.0).to(tl.float32) * height
            - 0.5
        )
        # False for NaN; such points go to (0, 0), where their masks and gradients are zero.
        inside = (x > -1) & (x < width) & (y > -1) & (y < height)
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
        first = (image + start + line * width + column).to(tl.int64) * (HEADS * SIZE)
        return (
            x - left,
            y - top,
            width,
            height,
            inside,
            first,
            first + width.to(tl.int64) * (HEADS * SIZE),
            on_left & on_top,
            on_right & on_top,
            on_left & on_low,
            on_right & on_low,
        )

    @triton.jit
    def _forward_kernel(
        value,
        level_ptr,
        location,
        weight,
        output,
        rows,
        queries,
        HEADS: tl.constexpr,
        SIZE: tl.constexpr,
        LEVELS: tl.constexpr,
        POINTS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        head = tl.program_id(1)
        image = tl.program_id(2).to(tl.int64)
        query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        query_mask = query < queries
        # Row of the output (N, Q, H); 64 bits, because offsets of large batches overflow 32.
        owner = (image * queries + query) * HEADS + head
        channel = tl.arange(0, SIZE)[None, :]
        value += head * SIZE + channel
        total = tl.zeros((BLOCK, SIZE), tl.float32)
        for level in range(LEVELS):
            for point in range(POINTS):
                row = (owner * LEVELS + level) * POINTS + point
                x, y, _, _, _, top, low, m00, m01, m10, m11 = _corners(
                    location, row, image * rows, query_mask, level_ptr, level, HEADS, SIZE
                )
                share = tl.load(weight + row, mask=query_mask, other=0.0).to(tl.float32)
                v00 = tl.load(value + top[:, None], mask=m00[:, None], other=0.0).to(tl.float32)
                v01 = tl.load(value + top[:, None] + HEADS * SIZE, mask=m01[:, None], other=0.0).to(
                    tl.float32
                )
                v10 = tl.load(value + low[:, None], mask=m10[:, None], other=0.0).to(tl.float32)
                v11 = tl.load(value + low[:, None] + HEADS * SIZE, mask=m11[:, None], other=0.0).to(
                    tl.float32
                )
                total += ((1 - y) * (1 - x) * share)[:, None] * v00
                total += ((1 - y) * x * share)[:, None] * v01
                total += (y * (1 - x) * share)[:, None] * v10
                total += (y * x * share)[:, None] * v11
        rows_out = output + owner[:, None] * SIZE + channel
        tl.store(rows_out, total.to(output.dtype.element_ty), mask=query_mask[:, None])

    @triton.jit
    def _backward_kernel(
        value,
        level_ptr,
        location,
        weight,
        grad,
        grad_value,
        grad_location,
        grad_weight,
        rows,
        queries,
        HEADS: tl.constexpr,
        SIZE: tl.constexpr,
        LEVELS: tl.constexpr,
        POINTS: tl.constexpr,
        BLOCK: tl.constexpr,
    ):
        head = tl.program_id(1)
        image = tl.program_id(2).to(tl.int64)
        query = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        query_mask = query < queries
        owner = (image * queries + query) * HEADS + head
        channel = tl.arange(0, SIZE)[None, :]
        value += head * SIZE + channel
        grad_value += head * SIZE + channel
        g = tl.load(grad + owner[:, None] * SIZE + channel, mask=query_mask[:, None], other=0.0).to(
            tl.float32
        )
        for level in range(LEVELS):
            for point in range(POINTS):
                row = (owner * LEVELS + level) * POINTS + point
                x, y, width, height, inside, top, low, m00, m01, m10, m11 = _corners(
                    location, row, image * rows, query_mask, level_ptr, level, HEADS, SIZE
                )
                share = tl.load(weight + row, mask=query_mask, other=0.0).to(tl.float32)
                v00 = tl.load(value + top[:, None], mask=m00[:, None], other=0.0).to(tl.float32)
                v01 = tl.load(value + top[:, None] + HEADS * SIZE, mask=m01[:, None], other=0.0).to(
                    tl.float32
                )
                v10 = tl.load(value + low[:, None], mask=m10[:, None], other=0.0).to(tl.float32)
                v11 = tl.load(value + low[:, None] + HEADS * SIZE, mask=m11[:, None], other=0.0).to(
                    tl.float32
                )
                d00 = tl.sum(g * v00, axis=1)
                d01 = tl.sum(g * v01, axis=1)
                d10 = tl.sum(g * v10, axis=1)
                d11 = tl.sum(g * v11, axis=1)
                by_x = (1 - y) * (d01 - d00) + y * (d11 - d10)
                by_y = (1 - x) * (d10 - d00) + x * (d11 - d01)
                sampled = (1 - y) * ((1 - x) * d00 + x * d01) + y * ((1 - x) * d10 + x * d11)
                by_x = tl.where(inside, by_x * share * width, 0.0)
                by_y = tl.where(inside, by_y * share * height, 0.0)
                sampled = tl.where(inside, sampled, 0.0)
                tl.store(
                    grad_location + row * 2,
                    by_x.to(grad_location.dtype.element_ty),
                    mask=query_mask,
                )
                tl.store(
                    grad_location + row * 2 + 1,
                    by_y.to(grad_location.dtype.element_ty),
                    mask=query_mask,
                )
                tl.store(
                    grad_weight + row, sampled.to(grad_weight.dtype.element_ty), mask=query_mask
                )
                top_share = (1 - y) * share
                low_share = y * share
                top_place = grad_value + top[:, None]
                low_place = grad_value + low[:, None]
                # No order is needed between the sums: relaxed.
                tl.atomic_add(
                    top_place, ((1 - x) * top_share)[:, None] * g, mask=m00[:, None], sem='relaxed'
                )
                tl.atomic_add(
                    top_place + HEADS * SIZE,
                    (x * top_share)[:, None] * g,
                    mask=m01[:, None],
                    sem='relaxed',
                )
                tl.atomic_add(
                    low_place, ((1 - x) * low_share)[:, None] * g, mask=m10[:, None], sem='relaxed'
                )
                tl.atomic_add(
                    low_place + HEADS * SIZE,
                    (x * low_share)[:, None] * g,
                    mask=m11[:, None],
                    sem='relaxed',
                )


@torch.library.custom_op(
    'depth::ms_deform_attn_triton',
    mutates_args=(),
    # Written out because torch 2.4 cannot read it off list[int].
    schema='(Tensor value, int[] sides, Tensor locations, Tensor weights) -> Tensor',
)
def _forward_op(value: Tensor, sides: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    output = value.new_zeros(*locations.shape[:3], value.shape[-1])
    _launch(_forward_kernel, value, sides, locations, weights, (output,))
    return output.flatten(2)


@torch.library.custom_op(
    'depth::ms_deform_attn_triton_backward',
    mutates_args=(),
    # Written out because torch 2.4 cannot read it off list[int].
    schema=(
        '(Tensor grad, Tensor value, int[] sides, Tensor locations, Tensor weights) -> (Tensor, Tensor, Tensor)'
    ),
)
def _backward_op(
    grad: Tensor, value: Tensor, sides: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grad_value = torch.zeros(value.shape, dtype=torch.float32, device=value.device)
    grad_locations = torch.zeros(locations.shape, dtype=locations.dtype, device=value.device)
    grad_weights = torch.zeros(weights.shape, dtype=weights.dtype, device=value.device)
    outputs = (grad.contiguous(), grad_value, grad_locations, grad_weights)
    _launch(_backward_kernel, value, sides, locations, weights, outputs)
    return grad_value.to(value.dtype), grad_locations, grad_weights


@_forward_op.register_fake
def _(value: Tensor, sides: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(locations.shape[0], locations.shape[1], value.shape[2] * value.shape[3])


@_backward_op.register_fake
def _(
    grad: Tensor, value: Tensor, sides: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in (value, locations, weights))


def _setup_context(ctx, inputs: tuple, output: Tensor) -> None:
    value, ctx.sides, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, locations, weights = ctx.saved_tensors
    grad_value, grad_locations, grad_weights = _backward_op(
        grad, value, ctx.sides, locations, weights
    )
    return grad_value, None, grad_locations, grad_weights


_forward_op.register_autograd(_backward, setup_context=_setup_context)


def _launch(
    kernel,
    value: Tensor,
    sides: list[int],
    locations: Tensor,
    weights: Tensor,
    outputs: tuple[Tensor, ...],
) -> None:
    """Launch a kernel on the grid (blocks of queries, heads, images)."""
    images, queries, heads, levels, points, _ = locations.shape
    if images * queries * heads * levels * points == 0:
        return
    size = value.shape[-1]
    geometry = []  # height, width and first row of every level
    start = 0
    for height, width in zip(sides[::2], sides[1::2], strict=True):
        geometry.append((height, width, start))
        start += height * width
    level_tensor = torch.tensor(geometry, dtype=torch.int32).to(value.device, non_blocking=True)
    block = TILE // size
    grid = (triton.cdiv(queries, block), heads, images)
    with torch.cuda.device_of(value):
        kernel[grid](
            value.contiguous(),
            level_tensor,
            locations.contiguous(),
            weights.contiguous(),
            *outputs,
            value.shape[1],
            queries,
            HEADS=heads,
            SIZE=size,
            LEVELS=levels,
            POINTS=points,
            BLOCK=block,
            num_warps=4,
        )
