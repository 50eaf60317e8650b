"""Forward pass of deformable attention: the Triton kernel and its launch."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .triton_launch import (
    autotune_launches,
    kernel_options,
    launch_grid,
    level_table,
    reference_arguments,
    select_kernel,
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
    """Write the output (Q, H * D) of a block of queries of one head and image."""
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
        log_sum = log_sum_exp(weight, owner, query_mask, LEVELS * POINTS, COUNT_PAD)
    total = tl.zeros((BLOCK, SIZE), tl.float32)
    for level in range(LEVELS):
        height = tl.load(level_table + level * 4)
        width = tl.load(level_table + level * 4 + 1)
        start = tl.load(level_table + level * 4 + 2)
        x_origin, y_origin = point_origin(
            reference + level * reference_level, query_mask, width, height, FUSED
        )
        for point in range(POINTS):
            row = (owner * LEVELS + level) * POINTS + point
            x, y = point_position(
                location, row, query_mask, x_origin, y_origin, width, height, FUSED
            )
            x, y, _, top, low, m00, m01, m10, m11 = corner_offsets(
                x, y, query_mask, width, height, start, PITCH
            )
            share = point_weight(weight, row, query_mask, log_sum, FUSED)
            top_rows = value + (top[:, None] + channel)
            low_rows = value + (low[:, None] + channel)
            top_share = (1 - y) * share
            low_share = y * share
            total += ((1 - x) * top_share)[:, None] * load_tile(top_rows, m00)
            total += (x * top_share)[:, None] * load_tile(top_rows + PITCH, m01)
            total += ((1 - x) * low_share)[:, None] * load_tile(low_rows, m10)
            total += (x * low_share)[:, None] * load_tile(low_rows + PITCH, m11)
    tl.store(
        output + owner[:, None] * SIZE + channel,
        total.to(output.dtype.element_ty),
        mask=query_mask[:, None],
    )


_tuned_kernel = autotune_launches(_forward_kernel)


def run_forward(
    value: Tensor, sides: list[int], references: Tensor | None, locations: Tensor, weights: Tensor
) -> Tensor:
    """Return the attention (N, Q, H * D); ``references`` is None for locations and weights.

    Otherwise these are offsets (N, Q, H, L, P, 2) and logits (N, Q, H, L, P).
    """
    images, queries, heads, levels, points, _ = locations.shape
    output = value.new_zeros(images, queries, heads * value.shape[-1])
    if images * queries * heads * levels * points == 0:
        return output
    options = kernel_options(value, references, locations)
    kernel = select_kernel(_forward_kernel, _tuned_kernel)
    arguments = dict(
        value=value.contiguous(),
        level_table=level_table(tuple(sides), (False,) * levels, value.device),
        weight=weights.contiguous(),
        output=output,
        rows=value.shape[1],
        queries=queries,
    )
    arguments.update(reference_arguments(references, locations))
    with torch.cuda.device_of(value):
        kernel[launch_grid(options, images, queries, heads)](**arguments, **options)
    return output
