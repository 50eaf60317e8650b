"""Device functions that the forward and the backward kernels share: where a query samples.

A block of neighbouring queries is a vector; a row of the head's channels is one line of a tile
(BLOCK, SIZE). ``FUSED`` kernels compute sampling locations and attention weights themselves.
"""

import triton
import triton.language as tl

# Sizes that change with the image: kernels are not compiled again for 1 or multiples of 16.
SIZES = ['rows', 'queries', 'reference_image', 'reference_query', 'reference_level']


@triton.jit
def log_sum_exp(logit, owner, query_mask, COUNT: tl.constexpr, COUNT_PAD: tl.constexpr):
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
def point_origin(reference, query_mask, width, height, FUSED: tl.constexpr):
    """Return (x, y) in pixels of a level that the offsets of each query are added to."""
    if FUSED:
        x = tl.load(reference, mask=query_mask, other=0.0).to(tl.float32) * width - 0.5
        y = tl.load(reference + 1, mask=query_mask, other=0.0).to(tl.float32) * height - 0.5
    else:
        x = -0.5
        y = -0.5
    return x, y


@triton.jit
def point_position(
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
def point_weight(weight, row, query_mask, log_sum, FUSED: tl.constexpr):
    """Return the attention weight of a sampling point of each query."""
    share = tl.load(weight + row, mask=query_mask, other=0.0).to(tl.float32)
    if FUSED:
        share = tl.exp(share - log_sum)
    return share


@triton.jit
def corner_offsets(x, y, query_mask, width, height, start, PITCH: tl.constexpr):
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
def load_tile(pointers, mask):
    """Load rows of a head, (BLOCK, SIZE), as float32."""
    return tl.load(pointers, mask=mask[:, None], other=0.0).to(tl.float32)
