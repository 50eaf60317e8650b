"""Deformable attention as an embedding bag, chunk by chunk.

Each head of each query is a weighted sum of 4 * levels * points rows of the value table, which is exactly what
``embedding_bag`` sums without storing the rows. The backward pass recomputes a chunk's rows and weights instead of
keeping them, so the extra memory is that of one chunk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ROWS = 1 << 21  # rows of the table that one chunk may touch


def gather_attention(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Return what ``ms_deform_attn`` returns; see there for the arguments."""
    return _GatherAttention.apply(value, locations, weights, shapes)


class _GatherAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, locations: Tensor, weights: Tensor, shapes: list[tuple[int, int]]) -> Tensor:
        ctx.save_for_backward(value, locations, weights)
        ctx.shapes = shapes
        return _forward_chunks(value, locations, weights, shapes).to(value.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        value, locations, weights = ctx.saved_tensors
        grads = _backward_chunks(value, locations, weights, ctx.shapes, grad)
        return (*(g.to(t.dtype) for g, t in zip(grads, (value, locations, weights), strict=True)), None)


def _compute_dtype(value: Tensor) -> torch.dtype:
    """Return the dtype sums are taken in: half precision inputs are summed in float32."""
    return value.dtype if value.dtype == torch.float64 else torch.float32


def _queries_per_chunk(locations: Tensor) -> int:
    batch, _, heads, levels, points, _ = locations.shape
    return max(1, CHUNK_ROWS // max(1, 4 * batch * heads * levels * points))


def _table(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the rows (N * H * S + 1, D); the last one stays empty for what lies outside."""
    rows = value.to(dtype).transpose(1, 2).reshape(-1, value.shape[-1])
    return torch.cat([rows, rows.new_zeros(1, rows.shape[1])])


def _forward_chunks(value: Tensor, locations: Tensor, weights: Tensor, shapes: list[tuple[int, int]]) -> Tensor:
    dtype = _compute_dtype(value)
    batch, queries, heads = locations.shape[:3]
    table = _table(value, dtype)
    result = table.new_empty(batch, queries, heads, value.shape[-1])
    step = _queries_per_chunk(locations)
    for start in range(0, queries, step):
        part = slice(start, start + step)
        rows, factors = _corners(locations[:, part].to(dtype), shapes, value.shape[1])
        scaled = (factors * weights[:, part, ..., None].to(dtype)).flatten(3)
        bags = F.embedding_bag(
            rows.flatten(0, 2).flatten(1), table, per_sample_weights=scaled.flatten(0, 2), mode='sum'
        )
        result[:, part] = bags.view(batch, -1, heads, value.shape[-1])
    return result.flatten(2)


def _corners(locations: Tensor, shapes: list[tuple[int, int]], total: int) -> tuple[Tensor, Tensor]:
    """Return table rows (N, Q, H, L, P, 4) and their bilinear factors for the corners around every location."""
    batch, _, heads, levels, _, _ = locations.shape
    device, dtype = locations.device, locations.dtype
    width = torch.tensor([w for _, w in shapes], device=device, dtype=dtype).view(levels, 1)
    height = torch.tensor([h for h, _ in shapes], device=device, dtype=dtype).view(levels, 1)
    starts = torch.tensor([0, *(h * w for h, w in shapes)][:-1], device=device).cumsum(0).view(levels, 1)
    x = locations[..., 0] * width - 0.5
    y = locations[..., 1] * height - 0.5
    # Far away and NaN become a place just outside, where indices are still small integers.
    x = torch.where(x > -2, torch.minimum(x, width + 1), -2.0)
    y = torch.where(y > -2, torch.minimum(y, height + 1), -2.0)
    left, top = x.floor(), y.floor()
    base = (torch.arange(batch, device=device).view(-1, 1, 1, 1, 1) * heads) + torch.arange(heads, device=device).view(
        1, 1, -1, 1, 1
    )
    rows, factors = [], []
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = left + dx, top + dy
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            index = base * total + starts + (row * width + column).long()
            rows.append(torch.where(inside, index, batch * heads * total))
            share_x = x - left if dx else 1 - (x - left)
            share_y = y - top if dy else 1 - (y - top)
            factors.append(torch.where(inside, share_x * share_y, 0))
    return torch.stack(rows, dim=-1), torch.stack(factors, dim=-1)


def _backward_chunks(
    value: Tensor, locations: Tensor, weights: Tensor, shapes: list[tuple[int, int]], grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dtype = _compute_dtype(value)
    batch, queries, heads = locations.shape[:3]
    size = value.shape[-1]
    table = _table(value, dtype)
    grad_table = torch.zeros_like(table)
    grad_locations = torch.zeros(locations.shape, dtype=dtype, device=value.device)
    grad_weights = torch.zeros(weights.shape, dtype=dtype, device=value.device)
    grad = grad.to(dtype).view(batch, queries, heads, size)
    step = max(1, _queries_per_chunk(locations) // 4)  # the backward pass stores the sampled rows of a chunk
    for start in range(0, queries, step):
        part = slice(start, start + step)
        with torch.enable_grad():
            place = locations[:, part].to(dtype).detach().requires_grad_()
            rows, factors = _corners(place, shapes, value.shape[1])
        weight = weights[:, part].to(dtype)
        chunk_grad = grad[:, part]
        # d/d(factor * weight) of a row is its dot product with the query's gradient.
        sampled = table[rows.flatten(3)]  # (N, Q, H, L * P * 4, D)
        dots = torch.einsum('nqhrd,nqhd->nqhr', sampled, chunk_grad).view(factors.shape)
        grad_weights[:, part] = (dots * factors.detach()).sum(dim=-1)
        (grad_locations[:, part],) = torch.autograd.grad(factors, place, dots * weight[..., None])
        scaled = (factors.detach() * weight[..., None]).flatten(3)
        sampled = scaled[..., None] * chunk_grad[:, :, :, None]
        grad_table.index_add_(0, rows.flatten(), sampled.flatten(0, 3))
    grad_value = grad_table[:-1].view(batch, heads, -1, size).transpose(1, 2)
    return grad_value, grad_locations, grad_weights
