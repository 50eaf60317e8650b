"""Backward pass of deformable attention: the Triton kernels and their launches."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .triton_launch import (
    TILE_PIXELS,
    TILE_QUERIES,
    TILE_SPAN,
    autotune_launches,
    is_tiled,
    kernel_options,
    launch_grid,
    level_table,
    reference_arguments,
    select_kernel,
    tile_table,
)
from .triton_sampling import (
    SIZES,
    corner_offsets,
    load_tile,
    log_sum_exp,
    point_origin,
    point_position,
    point_weight,
)

# Options of the atomic kernel's launch, which the tiled kernel has no argument for or sets itself.
LAUNCH_OPTIONS = ('TILE', 'COUNT_PAD', 'num_warps', 'enable_fp_fusion')


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
    g = load_tile(grad + owner[:, None] * SIZE + channel, query_mask)
    fixed_scale = tl.load(scale)
    log_sum = tl.zeros((BLOCK,), tl.float32)
    mean = tl.zeros((BLOCK,), tl.float32)  # g o
    if FUSED:
        log_sum = log_sum_exp(weight, owner, query_mask, LEVELS * POINTS, COUNT_PAD)
        tl.store(log_sums + owner, log_sum, mask=query_mask)
        attended = load_tile(output + owner[:, None] * SIZE + channel, query_mask)
        mean = tl.sum(g * attended, axis=1)
    for level in range(LEVELS):
        height = tl.load(level_table + level * 4)
        width = tl.load(level_table + level * 4 + 1)
        start = tl.load(level_table + level * 4 + 2)
        tiled = tl.load(level_table + level * 4 + 3)
        x_origin, y_origin = point_origin(
            reference + level * reference_level, query_mask, width, height, FUSED
        )
        for point in range(POINTS):
            row = (owner * LEVELS + level) * POINTS + point
            x, y = point_position(
                location, row, query_mask, x_origin, y_origin, width, height, FUSED
            )
            x, y, inside, top, low, m00, m01, m10, m11 = corner_offsets(
                x, y, query_mask, width, height, start, PITCH
            )
            share = point_weight(weight, row, query_mask, log_sum, FUSED)
            top_rows = value + (top[:, None] + channel)
            low_rows = value + (low[:, None] + channel)
            d00 = tl.sum(g * load_tile(top_rows, m00), axis=1)
            d01 = tl.sum(g * load_tile(top_rows + PITCH, m01), axis=1)
            d10 = tl.sum(g * load_tile(low_rows, m10), axis=1)
            d11 = tl.sum(g * load_tile(low_rows + PITCH, m11), axis=1)
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
            tl.store(grad_weight + row, sampled.to(grad_weight.dtype.element_ty), mask=query_mask)
            if tiled == 0:
                top_share = (1 - y) * share
                low_share = y * share
                top_sums = grad_value + (top[:, None] + channel)
                low_sums = grad_value + (low[:, None] + channel)
                product = ((1 - x) * top_share)[:, None] * g
                _add_tile(top_sums, product, m00[:, None], fixed_scale, FIXED)
                product = (x * top_share)[:, None] * g
                _add_tile(top_sums + PITCH, product, m01[:, None], fixed_scale, FIXED)
                product = ((1 - x) * low_share)[:, None] * g
                _add_tile(low_sums, product, m10[:, None], fixed_scale, FIXED)
                product = (x * low_share)[:, None] * g
                _add_tile(low_sums + PITCH, product, m11[:, None], fixed_scale, FIXED)


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
        ordinates = location + (row[:, None] + points) * 2 + 1
        mask = query_mask[:, None] & (points < POINTS)
        x_origin, y_origin = point_origin(
            reference + query * reference_query, query_mask, width, height, FUSED
        )
        lines = tl.load(ordinates, mask=mask, other=float('nan')).to(tl.float32)
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
                x, y = point_position(
                    location, row + point, query_mask, x_origin, y_origin, width, height, FUSED
                )
                share = point_weight(weight, row + point, query_mask, log_sum, FUSED)
                inside = query_mask & (x > -1) & (x < width) & (y > -1) & (y < height)
                x = tl.where(inside, x, 0.0)
                y = tl.where(inside, y, 0.0)
                share = tl.where(inside, share, 0.0)
                by_x = tl.maximum(1 - tl.abs(column[:, None] - x[None, :]), 0.0)
                by_y = tl.maximum(1 - tl.abs(line[:, None] - y[None, :]), 0.0)
                coefficients += by_x * (by_y * share[None, :])
            g = load_tile(grad + owner[:, None] * SIZE + channel, query_mask)
            # Three products in TF32: as precise as float32, on the matrix units.
            total = tl.dot(coefficients, g, total, input_precision='tf32x3')
    sums = grad_value + (image * rows + start + pixel)[:, None] * PITCH + head * SIZE + channel
    _add_tile(sums, total, (pixel < height * width)[:, None], tl.load(scale), FIXED)


_tuned_kernel = autotune_launches(_backward_kernel, reset_to_zero=['grad_value'])


def run_backward(
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
    tiled = ()
    for height, width in zip(sides[::2], sides[1::2], strict=True):
        tiled += (is_tiled(height * width, queries * points),)
    options = kernel_options(value, references, locations) | dict(FIXED=fixed)
    # Arguments that both kernels take; the tiled one reads the log_sums that the first one writes.
    shared = dict(
        weight=weights.contiguous(),
        grad=grad,
        grad_value=sums,
        log_sums=torch.empty(images, queries, heads, device=value.device),
        scale=scale,
        rows=value.shape[1],
        queries=queries,
    )
    shared.update(reference_arguments(references, locations))
    with torch.cuda.device_of(value):
        kernel = select_kernel(_backward_kernel, _tuned_kernel)
        kernel[launch_grid(options, images, queries, heads)](
            value=value.contiguous(),
            level_table=level_table(tuple(sides), tiled, value.device),
            output=grad if output is None else output,
            grad_location=grad_locations,
            grad_weight=grad_weights,
            **shared,
            **options,
        )
        if any(tiled):
            table = tile_table(tuple(sides), tiled, value.device)
            _sum_tiles(table, images, points, shared, options)
    if bound is not None:
        # NaN where the incoming gradient is not finite: it has to be seen, as in a float sum.
        sums = sums.to(torch.float32) / torch.where(bound.isfinite(), scale, torch.nan)
    return sums.to(value.dtype), grad_locations, grad_weights


def _sum_tiles(table: Tensor, images: int, points: int, shared: dict, options: dict) -> None:
    """Add the gradient of the levels that are summed in tiles, those of ``table``, to the sums."""
    queries = shared['queries']
    span = min(TILE_SPAN, max(TILE_QUERIES, triton.next_power_of_2(queries)))
    constants = {name: options[name] for name in options if name not in LAUNCH_OPTIONS}
    _tiled_kernel[(len(table), options['HEADS'] * triton.cdiv(queries, span), images)](
        tile_table=table,
        POINTS_PAD=triton.next_power_of_2(points),
        PIXELS=TILE_PIXELS,
        BLOCK=TILE_QUERIES,
        SPAN=span,
        num_warps=4,
        enable_fp_fusion=True,
        **shared,
        **constants,
    )


def _fixed_point_scale(grad: Tensor, weights: Tensor, fused: bool) -> tuple[Tensor, Tensor]:
    """Return a bound of every sum of the value's gradient, and a scale to 62-bit integers.

    All points of all queries of a head may meet in one pixel, each with a coefficient of at most 1.
    """
    bound = grad.abs().amax().float() * weights.shape[1]
    if not fused:  # otherwise the weights of a query and head add up to 1
        bound = bound * weights.abs().amax().float() * weights[0, 0, 0].numel()
    exponent = (61 - bound.log2()).floor().clamp(-126, 126)
    return bound, exponent.exp2()
