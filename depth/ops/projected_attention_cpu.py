"""Deformable attention on a CPU with the projections of its queries as part of the operator.

A query's sampling places and weights take 3 * heads * levels * points numbers, three times as many
as its channels in DepthFormer. The operator computes them chunk by chunk from the queries, so that
they stay in the cache, and computes them again in the backward pass instead of storing them.

Reference: Deformable DETR, https://arxiv.org/abs/2010.04159
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .ms_deform_attn_torch import Geometry, SamplingPoints

# Sampling points that are processed together; each takes about 100 bytes. Those of the backward
# pass are added to the gradients of a whole head each time, hence more of them.
FORWARD_POINTS = 1 << 16
BACKWARD_POINTS = 1 << 18


def projected_attention_cpu(
    value: Tensor,
    shapes: list[tuple[int, int]],
    references: Tensor,
    query: Tensor,
    position: Tensor | None,
    offset_projection: tuple[Tensor, Tensor],
    logit_projection: tuple[Tensor, Tensor],
) -> Tensor:
    """Implementation of :func:`depth.ops.projected_attention` by one operator.

    Arguments and result as there, projections as (weight, bias).
    """
    heads = value.shape[2]
    points = len(logit_projection[1]) // heads  # L * P
    matrices = []
    # The rows of a head together, its x, y and logits one after another: one product a head, whose
    # result has each of the three in runs of L * P.
    for offsets, logits in zip(offset_projection, logit_projection, strict=True):
        places = offsets.view(heads, points, 2, -1).transpose(1, 2)
        matrices.append(torch.cat([places, logits.view(heads, 1, points, -1)], dim=1))
    weight, bias = matrices[0], matrices[1].squeeze(-1)  # (H, 3, L * P, E) and (H, 3, L * P)
    if torch.is_autocast_enabled('cpu'):
        dtype = torch.get_autocast_dtype('cpu')
        weight, bias = weight.to(dtype), bias.to(dtype)
    sides = [side for shape in shapes for side in shape]
    return _forward_op(value, sides, references, query, position, weight, bias)


@torch.library.custom_op(
    'depth::projected_attention',
    mutates_args=(),
    # Written out because torch 2.4 cannot read it off list[int].
    schema=(
        '(Tensor value, int[] sides, Tensor references, Tensor query, Tensor? position, '
        'Tensor weight, Tensor bias) -> Tensor'
    ),
)
def _forward_op(
    value: Tensor,
    sides: list[int],
    references: Tensor,
    query: Tensor,
    position: Tensor | None,
    weight: Tensor,
    bias: Tensor,
) -> Tensor:
    geometry = Geometry.of(value, sides)
    table = geometry.pack(value)
    result = table.new_empty(*query.shape[:2], *value.shape[2:])
    for chunk in _chunks(geometry, references, query, position, weight, bias, FORWARD_POINTS):
        for heads in chunk.heads:
            points = chunk.points(heads)
            rows = geometry.rows(table, chunk.images, heads)
            result[chunk.images, chunk.queries, heads] = points.sample(rows)
    return result.flatten(2).to(value.dtype)


@torch.library.custom_op(
    'depth::projected_attention_backward',
    mutates_args=(),
    schema=(
        '(Tensor grad, Tensor value, int[] sides, Tensor references, Tensor query, '
        'Tensor? position, Tensor weight, Tensor bias) -> (Tensor, Tensor, Tensor, Tensor, Tensor)'
    ),
)
def _backward_op(
    grad: Tensor,
    value: Tensor,
    sides: list[int],
    references: Tensor,
    query: Tensor,
    position: Tensor | None,
    weight: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    geometry = Geometry.of(value, sides)
    table = geometry.pack(value)
    grad = grad.to(table.dtype).view(*query.shape[:2], *value.shape[2:])
    grad_table = torch.zeros_like(table)
    grad_references = torch.zeros_like(references, dtype=table.dtype)
    grad_query = torch.zeros_like(query, dtype=table.dtype)
    grad_weight = torch.zeros_like(weight, dtype=table.dtype)
    grad_bias = torch.zeros_like(bias, dtype=table.dtype)
    buffer = None  # of the scalar products of the largest chunk, which is the first
    for chunk in _chunks(geometry, references, query, position, weight, bias, BACKWARD_POINTS):
        grads = table.new_empty(chunk.projected.shape)  # (n, q, H, 3, K): of x, y and logits
        for heads in chunk.heads:
            points = chunk.points(heads)
            grad_rows = grad[chunk.images, chunk.queries, heads].flatten(0, 2).contiguous()
            if buffer is None:
                buffer = table.new_zeros(points.factors.numel())
            dots = points.dots(geometry.rows(table, chunk.images, heads), grad_rows, buffer)
            grad_pixels, grad_weights = points.point_grads(dots)
            points.scatter(grad_rows, geometry.rows(grad_table, chunk.images, heads))
            chunk.add_reference_grads(grad_references, grad_pixels)
            grads[:, :, heads, :2] = grad_pixels.movedim(0, 3)
            shares = grad_weights.mul_(points.weights)  # the gradient of a softmax
            totals = shares.sum(dim=-1, keepdim=True)
            grad_logits = grads[:, :, heads, 2]
            torch.addcmul(shares, points.weights, totals, value=-1, out=grad_logits)
        grads = grads.view(len(chunk.placed), -1)
        products = grads @ weight.flatten(0, 2).to(table.dtype)
        grad_query[chunk.images, chunk.queries] = products.view(*chunk.shape, -1)
        grad_weight.view(-1, query.shape[2]).addmm_(grads.t(), chunk.placed.to(table.dtype))
        grad_bias.view(-1).add_(grads.sum(dim=0))
    return (
        geometry.unpack(grad_table).to(value.dtype),
        grad_references.to(references.dtype),
        grad_query.to(query.dtype),
        grad_weight.to(weight.dtype),
        grad_bias.to(bias.dtype),
    )


@_forward_op.register_fake
def _(
    value: Tensor,
    sides: list[int],
    references: Tensor,
    query: Tensor,
    position: Tensor | None,
    weight: Tensor,
    bias: Tensor,
) -> Tensor:
    return value.new_empty(*query.shape[:2], value.shape[2] * value.shape[3])


@_backward_op.register_fake
def _(
    grad: Tensor,
    value: Tensor,
    sides: list[int],
    references: Tensor,
    query: Tensor,
    position: Tensor | None,
    weight: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(value),
        torch.empty_like(references),
        torch.empty_like(query),
        torch.empty_like(weight),
        torch.empty_like(bias),
    )


def _setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    value, ctx.sides, references, query, position, weight, bias = inputs
    ctx.save_for_backward(value, references, query, position, weight, bias)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, references, query, position, weight, bias = ctx.saved_tensors
    grad_value, grad_references, grad_query, grad_weight, grad_bias = _backward_op(
        grad.contiguous(), value, ctx.sides, references, query, position, weight, bias
    )
    grad_position = None
    if position is not None:
        grad_position = grad_query.sum_to_size(position.shape).to(position.dtype)
    return grad_value, None, grad_references, grad_query, grad_position, grad_weight, grad_bias


_forward_op.register_autograd(_backward, setup_context=_setup_context)


def _chunks(
    geometry: Geometry,
    references: Tensor,
    query: Tensor,
    position: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    limit: int,
) -> Iterator['_Chunk']:
    """Yield chunks of queries, whose heads are processed with at most ``limit`` points at once.

    Heads are processed together if they fit, otherwise one by one: the table of a head stays in the
    cache.
    """
    num_images, num_queries = query.shape[:2]
    num_heads, _, length = weight.shape[:3]
    head_points = max(num_queries * length, 1)
    images = max(limit // (num_heads * head_points), 1)
    heads = max(limit // head_points, 1)
    queries = max(limit // max(length, 1), 1)
    head_slices = [slice(head, head + heads) for head in range(0, num_heads, heads)]
    for image in range(0, num_images, images):
        for first in range(0, num_queries, queries):
            slices = slice(image, image + images), slice(first, first + queries)
            yield _Chunk(geometry, references, query, position, weight, bias, head_slices, *slices)


class _Chunk:
    """Queries that are projected together.

    Args:
        geometry: Layout of the value table.
        references: Reference points of all queries, (N or 1, Q, L or 1, 2).
        query: All queries, (N, Q, E).
        position: Added to the queries, (N or 1, Q, E) or None.
        weight: Projections, (H, 3, K, E): for x, y and logits of K = L * P points.
        bias: Their biases, (H, 3, K).
        heads: Heads that are processed together.
        images: Images of the chunk.
        queries: Queries of the chunk.

    Attributes:
        shape: n images and q queries.
        placed: Queries of the chunk with their positions, (n * q, E).
        projected: Offsets and logits, (n, q, H, 3, K).
    """

    def __init__(
        self,
        geometry: Geometry,
        references: Tensor,
        query: Tensor,
        position: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        heads: list[slice],
        images: slice,
        queries: slice,
    ) -> None:
        self.geometry, self.heads, self.images, self.queries = geometry, heads, images, queries
        placed = query[images, queries]
        if position is not None:
            placed = placed + (position if len(position) == 1 else position[images])[:, queries]
        self.shape = placed.shape[:2]
        self.placed = placed.flatten(0, 1)
        # All heads in one product: one of a head, of 72 columns, runs at half the speed.
        projected = torch.addmm(
            bias.flatten(), self.placed.to(weight.dtype), weight.flatten(0, 2).t()
        )
        self.projected = projected.view(*self.shape, *bias.shape)
        self.reference_images = slice(0, 1) if len(references) == 1 else images
        # (n or 1, q, L or 1, 2)
        own = references[self.reference_images, queries].to(geometry.dtype)
        sides = geometry.sides(1, query.device)  # (L, 2): w, h
        centers = own.mul(sides).sub_(0.5).movedim(-1, 0)  # in pixels, (2, n or 1, q, L)
        points = bias.shape[-1] // max(len(sides), 1)
        self.centers = centers.repeat_interleave(points, dim=-1).unsqueeze(3)

    def points(self, heads: slice) -> SamplingPoints:
        """Return the sampling points of some heads."""
        projected = self.projected[:, :, heads].to(self.geometry.dtype)
        # x and y in planes of their own: over every second number loops are not vectorised.
        pixels = projected.new_empty(2, *projected.shape[:3], projected.shape[-1])
        torch.add(projected[..., :2, :].movedim(3, 0), self.centers, out=pixels)
        weights = projected[..., 2, :].softmax(dim=-1)
        return SamplingPoints(self.geometry, pixels, weights)

    def add_reference_grads(self, grad_references: Tensor, grad_pixels: Tensor) -> None:
        """Add the gradients (2, n, q, H, K) of pixel coordinates to those of the references."""
        num_levels = len(self.geometry.shapes)
        levels = grad_pixels.unflatten(-1, (num_levels, -1)).sum(dim=(3, 5))  # (2, n, q, L)
        levels = levels.movedim(0, -1) * self.geometry.sides(1, grad_pixels.device)
        target = grad_references[self.reference_images, self.queries]
        target += levels.sum_to_size(target.shape)
