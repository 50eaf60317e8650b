"""Multi-scale deformable attention layer, encoder, and conversion of feature maps to tokens.

Reference: Deformable DETR, https://arxiv.org/abs/2010.04159
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth.export_mode import is_exporting
from depth.ops import projected_attention

from .position_encoding import SinePositionEncoding
from .transformer import FeedForward


def flatten_levels(levels: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
    """Return maps (N, E, h, w) as tokens (N, S, E), level after level, and their sizes (h, w)."""
    shapes = [tuple(level.shape[-2:]) for level in levels]
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1), shapes


def split_levels(tokens: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Return the maps (N, E, h, w) of tokens (N, S, E); inverse of :func:`flatten_levels`."""
    sizes = [height * width for height, width in shapes]
    maps = []
    if is_exporting():  # a tracer stores the numbers of `split`
        start = 0
        for (height, width), size in zip(shapes, sizes, strict=True):
            level = tokens[:, start : start + size].transpose(1, 2)
            maps.append(level.reshape(*level.shape[:2], height, width))
            start = start + size
        return maps
    for level, shape in zip(tokens.split(sizes, dim=1), shapes, strict=True):
        maps.append(level.transpose(1, 2).unflatten(2, shape))
    return maps


def pixel_centers(size: tuple[int, int], device: torch.device) -> Tensor:
    """Return the centres of a map's pixels, (h * w, 2) as (x, y) in [0, 1], float32."""
    rows = (torch.arange(size[0], device=device) + 0.5) / size[0]
    columns = (torch.arange(size[1], device=device) + 0.5) / size[1]
    y, x = torch.meshgrid(rows, columns, indexing='ij')
    return torch.stack([x, y], dim=-1).flatten(0, 1)


class MultiScaleDeformableAttention(nn.Module):
    """Multi-head attention to a few learned sampling points per level around a reference point.

    Args:
        embed_dims: Channels E of queries and values.
        num_heads: Heads; they divide E.
        num_levels: Feature levels L.
        num_points: Sampling points P per head and level.
        dropout: Dropout of the attention's output, before the input is added.

    Raises:
        ValueError: If the heads do not divide the channels.

    Reference: Deformable DETR, https://arxiv.org/abs/2010.04159
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(
                f'deformable attention: num_heads={num_heads} does not divide '
                f'embed_dims={embed_dims}'
            )
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.backend = 'auto'  # see depth.ops.select_backend; set for a model by the runner
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dims, samples * 2)
        self.attention_weights = nn.Linear(embed_dims, samples)
        self.value_proj = nn.Linear(embed_dims, embed_dims)
        self.output_proj = nn.Linear(embed_dims, embed_dims)
        self.dropout = nn.Dropout(dropout, inplace=True)  # of the projection's result
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise one direction of sampling per head, farther for each point, equal weights."""
        nn.init.zeros_(self.sampling_offsets.weight)
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        lengths = torch.arange(1, self.num_points + 1)
        # Point p of a head lies p pixels away, measured along the larger of x and y.
        offsets = directions[:, None, None, :] * lengths[None, None, :, None]  # (H, 1, P, 2)
        self.sampling_offsets.bias.copy_(offsets.expand(-1, self.num_levels, -1, -1).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        query_pos: Tensor | None = None,
    ) -> Tensor:
        """Return ``query`` plus the attention, (N, Q, E).

        Args:
            query: (N, Q, E).
            value: (N, S, E), the pixels of the levels one after another.
            reference_points: (N or 1, Q, L or 1, 2) as (x, y) in [0, 1], at least float32.
            spatial_shapes: (h, w) of each level.
            query_pos: Position code added to the query (N or 1, Q, E), not to the value.
        """
        # (N, S, H, E / H)
        values = self.value_proj(value).view(*value.shape[:2], self.num_heads, -1)
        # Projections, softmax and locations are part of the operator, so that backends need not
        # store them.
        # (N, Q, E)
        attended = projected_attention(
            values,
            spatial_shapes,
            reference_points,
            query,
            query_pos,
            self.sampling_offsets,
            self.attention_weights,
            self.num_points,
            self.backend,
        )
        return query + self.dropout(self.output_proj(attended))


class DeformableEncoderLayer(nn.Module):
    """Encoder layer: deformable self-attention and a feed-forward layer, post-norm.

    Args:
        embed_dims: Channels E.
        num_levels: Feature levels.
        num_heads: Heads of the attention.
        num_points: Sampling points per head and level.
        feedforward_channels: Hidden channels of the feed-forward layer.
        attn_dropout: Dropout of the attention.
        ffn_dropout: Dropout of the feed-forward layer.
    """

    def __init__(
        self,
        embed_dims: int,
        num_levels: int,
        num_heads: int,
        num_points: int,
        feedforward_channels: int,
        attn_dropout: float,
        ffn_dropout: float,
    ) -> None:
        super().__init__()
        self.self_attn = MultiScaleDeformableAttention(
            embed_dims, num_heads, num_levels, num_points, attn_dropout
        )
        self.ffn = FeedForward(embed_dims, feedforward_channels, ffn_dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        references: Tensor,
        shapes: Sequence[tuple[int, int]],
    ) -> Tensor:
        """Map tokens (N, S, E), positions (1, S, E) and references (1, S, 1, 2) to (N, S, E)."""
        tokens = self.norms[0](
            self.self_attn(tokens, tokens, references, shapes, query_pos=positions)
        )
        return self.norms[1](self.ffn(tokens))


class DeformableEncoder(nn.Module):
    """Encoder of deformable self-attention over all levels.

    Each pixel samples around its own position.

    Args:
        embed_dims: Channels E of all maps; a multiple of 4.
        num_levels: Feature levels.
        num_layers: Encoder layers.
        num_heads: Heads of the attention.
        num_points: Sampling points per head and level.
        feedforward_channels: Hidden channels of the feed-forward layers.
        attn_dropout: Dropout of the attention.
        ffn_dropout: Dropout of the feed-forward layers.

    Reference: Deformable DETR, https://arxiv.org/abs/2010.04159
    """

    def __init__(
        self,
        embed_dims: int,
        num_levels: int = 3,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        attn_dropout: float = 0.0,
        ffn_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        options = (
            num_levels,
            num_heads,
            num_points,
            feedforward_channels,
            attn_dropout,
            ffn_dropout,
        )
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(embed_dims, *options) for _ in range(num_layers)
        )
        self.level_embed = nn.Parameter(torch.empty(num_levels, embed_dims))
        self.position_encoding = SinePositionEncoding(embed_dims // 2, normalize=True)
        nn.init.normal_(self.level_embed)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Encode maps (N, E, h, w), in the order of ``level_embed``, to maps of the same shapes."""
        tokens, shapes = flatten_levels(levels)
        codes = []
        centers = []
        for shape, embed in zip(shapes, self.level_embed, strict=True):
            # The sine code is the same on every level; the learned embedding tells levels apart.
            code = self.position_encoding(shape, tokens.device, tokens.dtype)  # (1, E, h, w)
            codes.append(code + embed[:, None, None])
            centers.append(pixel_centers(shape, tokens.device))
        positions, _ = flatten_levels(codes)
        references = torch.cat(centers).view(1, -1, 1, 2)  # the same on every level
        for layer in self.layers:
            tokens = layer(tokens, positions, references, shapes)
        return split_levels(tokens, shapes)
