"""Deformable attention by torch operators, with bounded memory.

Forward: every head of every query is a weighted sum of 4 * levels * points rows of the value table,
which ``embedding_bag`` computes without storing the rows. Backward: sampling points are sorted by
the cell that they lie in, and each cell sums the gradients of its queries. Both process heads and
queries in chunks and store only their inputs, so that the additional memory is that of one chunk
and of the table.

Levels are stored with a border of zeros. Locations outside of a level are moved to the border, so
that no corner of a cell needs a mask. All sums run in a fixed order: results are bitwise equal in
every run.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from depth.device_constants import device_constant

FORWARD_POINTS = 1 << 18  # sampling points of one chunk; each takes about 100 bytes
BACKWARD_POINTS = 1 << 18


def ms_deform_attn_torch(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Implementation of :func:`depth.ops.ms_deform_attn` by torch operators.

    Arguments and result as there.
    """
    return _forward_op(value, [side for shape in shapes for side in shape], locations, weights)


@torch.library.custom_op(
    'depth::ms_deform_attn',
    mutates_args=(),
    # Written out because torch 2.4 cannot read it off list[int].
    schema='(Tensor value, int[] sides, Tensor locations, Tensor weights) -> Tensor',
)
def _forward_op(value: Tensor, sides: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    geometry = Geometry.of(value, sides)
    table = geometry.pack(value)
    result = table.new_zeros(*locations.shape[:3], value.shape[-1])
    for images, heads, queries in _chunks(locations.shape, FORWARD_POINTS):
        chunk = (images, queries, heads)
        points = SamplingPoints.at(geometry, locations[chunk], weights[chunk])
        result[chunk] = points.sample(geometry.rows(table, images, heads))
    return result.flatten(2).to(value.dtype)


@torch.library.custom_op(
    'depth::ms_deform_attn_backward',
    mutates_args=(),
    # Written out because torch 2.4 cannot read it off list[int].
    schema=(
        '(Tensor grad, Tensor value, int[] sides, Tensor locations, Tensor weights) -> (Tensor, '
        'Tensor, Tensor)'
    ),
)
def _backward_op(
    grad: Tensor, value: Tensor, sides: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    geometry = Geometry.of(value, sides)
    table = geometry.pack(value)
    grad_table = torch.zeros_like(table)
    grad_locations, grad_weights = torch.zeros_like(locations), torch.zeros_like(weights)
    grad = grad.to(table.dtype).view(*locations.shape[:3], value.shape[-1])
    for images, heads, queries in _chunks(locations.shape, BACKWARD_POINTS):
        chunk = (images, queries, heads)
        points = SamplingPoints.at(geometry, locations[chunk], weights[chunk])
        grad_rows = grad[chunk].reshape(-1, value.shape[-1])
        dots = points.dots(geometry.rows(table, images, heads), grad_rows)
        grad_pixels, chunk_grad_weights = points.point_grads(dots)
        grad_pixels.mul_(points.limits)
        grad_locations[chunk] = grad_pixels.movedim(0, -1).view_as(grad_locations[chunk])
        grad_weights[chunk] = chunk_grad_weights.view_as(grad_weights[chunk])
        points.scatter(grad_rows, geometry.rows(grad_table, images, heads))
    return geometry.unpack(grad_table).to(value.dtype), grad_locations, grad_weights


@_forward_op.register_fake
def _(value: Tensor, sides: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(locations.shape[0], locations.shape[1], value.shape[2] * value.shape[3])


@_backward_op.register_fake
def _(
    grad: Tensor, value: Tensor, sides: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(value), torch.empty_like(locations), torch.empty_like(weights)


def _setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    value, ctx.sides, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, locations, weights = ctx.saved_tensors
    grad_value, grad_locations, grad_weights = _backward_op(
        grad.contiguous(), value, ctx.sides, locations, weights
    )
    return grad_value, None, grad_locations, grad_weights


_forward_op.register_autograd(_backward, setup_context=_setup_context)


def _chunks(shape: tuple[int, ...], limit: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield slices of images, heads and queries with at most ``limit`` sampling points.

    A chunk holds whole images if they fit, otherwise heads of one image (the table of a head stays
    in the cache), otherwise queries of one head.
    """
    num_images, num_queries, num_heads, levels, points, _ = shape
    query_points = max(levels * points, 1)
    head_points = max(num_queries * query_points, 1)
    image_points = max(num_heads * num_queries * query_points, 1)
    images = max(limit // image_points, 1)
    heads = num_heads if limit >= image_points else max(limit // head_points, 1)
    queries = max(limit // query_points, 1)
    for image in range(0, num_images, images):
        for head in range(0, num_heads, heads):
            for query in range(0, num_queries, queries):
                yield (
                    slice(image, image + images),
                    slice(head, head + heads),
                    slice(query, query + queries),
                )


@dataclass
class Geometry:
    """Layout of the value table, in which every level has a border of zeros."""

    heads: int
    shapes: list[tuple[int, int]]
    starts: list[int]  # first row of each bordered level
    total: int  # rows of one head of one image
    dtype: torch.dtype  # dtype of all sums

    @classmethod
    def of(cls, value: Tensor, sides: list[int]) -> 'Geometry':
        """Return the layout for ``value`` (N, S, H, D) of levels with ``sides`` h, w, h, w, ..."""
        shapes = list(zip(sides[::2], sides[1::2], strict=True))
        starts = [0]
        for height, width in shapes:
            starts.append(starts[-1] + (height + 2) * (width + 2))
        dtype = torch.promote_types(value.dtype, torch.float32)
        # Cells are numbered in this dtype; float32 has no odd integers beyond 2^24.
        if max(starts) >= 1 << 24:
            dtype = torch.float64
        return cls(value.shape[2], shapes, starts[:-1], starts[-1], dtype)

    def levels(self, value: Tensor, table: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each level as views (N, H, h, w, D) of ``value`` (N, S, H, D) and of ``table``."""
        table = table.view(value.shape[0], self.heads, self.total, -1)  # (N, H, rows, D)
        sizes = [height * width for height, width in self.shapes]
        for (height, width), start, level in zip(
            self.shapes, self.starts, value.split(sizes, dim=1), strict=True
        ):
            bordered = table[:, :, start : start + (height + 2) * (width + 2)]
            bordered = bordered.unflatten(2, (height + 2, width + 2))
            yield (
                level.unflatten(1, (height, width)).permute(0, 3, 1, 2, 4),
                bordered[:, :, 1:-1, 1:-1],
            )

    def sides(self, points: int, device: torch.device) -> Tensor:
        """Return (w, h) of the level of each of L * P points."""
        sides = device_constant(tuple(self.shapes), device, self.dtype).view(-1, 2)
        return sides.flip(-1).repeat_interleave(points, dim=0)

    def corner_shifts(self, points: int, device: torch.device) -> Tensor:
        """Return the table rows of the corners of cell (0, 0) for each point, (4, L * P)."""
        shifts = []
        for start, (_, width) in zip(self.starts, self.shapes, strict=True):
            pitch = width + 2  # rows of the table from one line of the level to the next
            first = start + pitch + 1
            shifts.append((first, first + 1, first + pitch, first + pitch + 1))
        rows = device_constant(tuple(shifts), device, torch.int64).view(-1, 4)
        return rows.t().repeat_interleave(points, dim=1)

    def spans(self, corner: int) -> Iterator[tuple[int, int, int]]:
        """Yield first and last table row of each level, and a corner's offset in its cell."""
        ends = [*self.starts[1:], self.total]
        for (_, width), start, end in zip(self.shapes, self.starts, ends, strict=True):
            # Bit 1 of the corner is the line below, bit 0 the column to the right.
            yield start, end, (corner >> 1) * (width + 2) + (corner & 1)

    def pack(self, value: Tensor) -> Tensor:
        """Return the table (N * H * total, D) of ``value`` (N, S, H, D)."""
        table = value.new_zeros(
            value.shape[0] * self.heads * self.total, value.shape[-1], dtype=self.dtype
        )
        for level, inner in self.levels(value, table):
            inner.copy_(level)
        return table

    def unpack(self, table: Tensor) -> Tensor:
        """Return ``value`` (N, S, H, D) of a table; inverse of :meth:`pack`."""
        images = len(table) // (self.heads * self.total)
        rows = sum(height * width for height, width in self.shapes)
        value = table.new_empty(images, rows, self.heads, table.shape[-1])
        for level, inner in self.levels(value, table):
            level.copy_(inner)
        return value

    def rows(self, table: Tensor, images: slice, heads: slice) -> Tensor:
        """Return the rows of a table that belong to the images and heads of a chunk, as a view."""
        chunk = table.view(-1, self.heads, self.total, table.shape[-1])[images, heads]
        return chunk.reshape(-1, table.shape[-1]) if chunk.numel() == 0 else chunk.flatten(0, 2)


class SamplingPoints:
    """Sampling points of one chunk: table rows and factors of their four corners.

    The last dimension of all arrays holds the K = L * P points of a head of a query, level by
    level: the longest run of equal treatment, so that torch vectorises its loops over it. Rows are
    numbered in int32 where that is enough, which halves what is read to find them.

    Args:
        geometry: Layout of the table.
        pixels: Coordinates in the points' levels, (2, N, Q, H, K): x, then y. Integers are pixel
            centres.
        weights: Attention weights, (N, Q, H, K).

    Attributes:
        limits: (w, h) of the points' levels, (2, 1, 1, 1, K).
        weights: Attention weights in the dtype of the sums.
    """

    def __init__(self, geometry: Geometry, pixels: Tensor, weights: Tensor) -> None:
        _, self.images, _, self.heads, length = pixels.shape
        self.geometry = geometry
        self.total = geometry.total
        rows = self.images * self.heads * self.total
        self.index_dtype = torch.int32 if rows < 1 << 31 else torch.int64
        num_points = length // max(len(geometry.shapes), 1)
        self.shifts = geometry.corner_shifts(num_points, pixels.device)
        self.limits = geometry.sides(num_points, pixels.device).t()[:, None, None, None]
        self.weights = weights
        self.inside = (pixels > -1) & (pixels < self.limits)  # (2, N, Q, H, K), False for NaN
        pixels = torch.where(self.inside, pixels, -1.0)  # the border of zeros
        first = pixels.floor()
        self.x, self.y = pixels.sub_(first)  # position in the cell, 0 to 1
        left, top = first
        self.cells = left.addcmul_(top, self.limits[0] + 2).to(self.index_dtype)
        self.factors = self._factors()

    @classmethod
    def at(cls, geometry: Geometry, locations: Tensor, weights: Tensor) -> 'SamplingPoints':
        """Return the points at ``locations`` (N, Q, H, L, P, 2) with weights (N, Q, H, L, P)."""
        num_levels, num_points = locations.shape[3:5]
        # x and y in planes of their own: over every second number loops are not vectorised.
        shape = (2, *locations.shape[:3], num_levels * num_points)
        pixels = torch.empty(shape, dtype=geometry.dtype, device=locations.device)
        pixels.copy_(locations.flatten(3, 4).movedim(-1, 0))
        limits = geometry.sides(num_points, locations.device).t()[:, None, None, None]
        pixels.mul_(limits).sub_(0.5)
        return cls(geometry, pixels, weights.flatten(3).to(geometry.dtype))

    def _factors(self) -> Tensor:
        """Return attention weights times bilinear coefficients of the corners, (N, Q, H, 4, K)."""
        factors = self.weights.new_empty(*self.weights.shape[:3], 4, self.weights.shape[-1])
        top_left, top_right, low_left, low_right = factors.unbind(3)
        low = self.y * self.weights
        top = self.weights - low
        torch.mul(self.x, low, out=low_right)
        torch.sub(low, low_right, out=low_left)
        torch.mul(self.x, top, out=top_right)
        torch.sub(top, top_right, out=top_left)
        return factors

    def _starts(self, dtype: torch.dtype) -> Tensor:
        """Return the first table row of each head of each image in the chunk, (N, 1, H, 1)."""
        starts = torch.arange(self.images * self.heads, dtype=dtype, device=self.cells.device)
        return (starts * self.total).view(self.images, 1, self.heads, 1)

    def _corners(self) -> Tensor:
        """Return the table rows of the four corners, (bags, 4 * K)."""
        shifts = self.shifts.to(self.index_dtype)
        corners = self.cells.unsqueeze(3) + (self._starts(self.index_dtype).unsqueeze(3) + shifts)
        return corners.view(-1, self.shifts.numel())

    def sample(self, table: Tensor) -> Tensor:
        """Return the weighted sums (N, Q, H, D)."""
        corners = self._corners()
        bags = F.embedding_bag(
            corners, table, mode='sum', per_sample_weights=self.factors.view_as(corners)
        )
        return bags.view(*self.cells.shape[:3], -1)

    def dots(self, table: Tensor, grad_rows: Tensor, buffer: Tensor | None = None) -> Tensor:
        """Return the scalar products of corner rows and query gradients, (N, Q, H, 4, K).

        They are written into ``buffer``, a vector of finite numbers, if it is given.
        """
        return _products(grad_rows, table, self._corners(), buffer).view_as(self.factors)

    def point_grads(self, dots: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of pixel coordinates (2, N, Q, H, K) and weights (N, Q, H, K)."""
        top_left, top_right, low_left, low_right = dots.unbind(3)
        top_step, low_step = top_right - top_left, low_right - low_left
        top = torch.addcmul(top_left, self.x, top_step)
        grads = dots.new_empty(2, *top.shape)
        by_x, by_y = grads
        torch.lerp(top_step, low_step, self.y, out=by_x)
        torch.sub(torch.addcmul(low_left, self.x, low_step), top, out=by_y)
        grad_weights = torch.addcmul(top, self.y, by_y)
        grads.mul_(self.weights)
        return torch.where(self.inside, grads, 0), grad_weights

    def scatter(self, grad_rows: Tensor, grad_table: Tensor) -> None:
        """Add to the gradient of the table: every cell sums its queries, once for each corner."""
        device = self.cells.device
        length = self.cells.shape[-1]
        starts = self._starts(torch.int64) + self.shifts[0]
        cells = (self.cells + starts).view(-1, length)
        # A sort instead of an argsort: the cell in the high bits, then the query, then the point.
        point_bits = (length - 1).bit_length()
        bits = point_bits + max(len(cells) - 1, 1).bit_length()
        queries = torch.arange(len(cells), device=device)[:, None] << point_bits
        codes = cells.bitwise_left_shift_(bits).add_(queries)
        codes = _sorted(codes.add_(torch.arange(length, device=device)).flatten())
        starts = torch.searchsorted(codes, torch.arange(len(grad_table), device=device) << bits)
        starts = starts.to(self.index_dtype)
        points = codes.bitwise_and_((1 << bits) - 1).to(self.index_dtype)
        owners = points >> point_bits
        # Index of a point's first corner in the flattened factors (bags, 4, K).
        indices = torch.add(points, owners, alpha=4 * length - (1 << point_bits))
        factors = self.factors.flatten()
        for corner in range(4):
            weights = factors[corner * length :].index_select(0, indices)
            sums = F.embedding_bag(
                owners, grad_rows, starts, mode='sum', per_sample_weights=weights
            )
            self._add_shifted(grad_table, sums, corner)

    def _add_shifted(self, grad_table: Tensor, sums: Tensor, corner: int) -> None:
        """Add the sums of all cells for one corner to the table rows of that corner."""
        groups = (self.images * self.heads, self.total)
        grad_table, sums = grad_table.unflatten(0, groups), sums.unflatten(0, groups)
        for start, end, shift in self.geometry.spans(corner):
            grad_table[:, start + shift : end] += sums[:, start : end - shift]


def _products(rows: Tensor, table: Tensor, indices: Tensor, buffer: Tensor | None = None) -> Tensor:
    """Return the scalar products (Q, K) of rows (Q, D) with table rows at indices (Q, K)."""
    count, length = indices.shape
    starts = torch.arange(count + 1, dtype=indices.dtype, device=indices.device) * length
    if indices.is_cpu:
        # More than twice as fast there: one vectorised loop instead of a BLAS call a product.
        num_products = indices.numel()
        products = table.new_zeros(num_products) if buffer is None else buffer[:num_products]
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='Sparse CSR tensor support is in beta')
            pattern = torch.sparse_csr_tensor(
                starts,
                indices.flatten(),
                products,
                size=(count, len(table)),
                check_invariants=False,
            )
        torch.sparse.sampled_addmm(pattern, rows, table.t(), beta=0, out=pattern)
        return pattern.values().view_as(indices)
    owners = torch.arange(count, dtype=indices.dtype, device=indices.device)
    # The operator behind the gradient of embedding_bag for its weights. Through autograd the sums
    # of the forward pass would be computed again.
    products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        rows, table, indices.flatten(), starts[:-1], owners.repeat_interleave(length), 0, -1
    )
    return products.view_as(indices)


def _sorted(codes: Tensor) -> Tensor:
    """Sort distinct integers.

    NumPy's vectorised sort is several times faster on a CPU and works in place.
    """
    if codes.is_cpu:
        codes.numpy().sort()
        return codes
    return codes.sort().values
