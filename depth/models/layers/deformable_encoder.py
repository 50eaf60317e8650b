"""All pixels of several levels look at each other by deformable attention."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .deformable_attention import MultiScaleDeformableAttention
from .position_encoding import SinePositionEncoding
from .tokens import flatten_levels, pixel_centers, split_levels
from .transformer import FeedForward


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward layer, post-norm.

    Args:
        embed_dims: Channels E.
        num_levels: Feature levels.
        num_heads: Heads of the attention.
        num_points: Sampled places per head and level.
        feedforward_channels: Channels of the feed-forward layer.
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
        self.self_attn = MultiScaleDeformableAttention(embed_dims, num_heads, num_levels, num_points, attn_dropout)
        self.ffn = FeedForward(embed_dims, feedforward_channels, ffn_dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))

    def forward(
        self, tokens: Tensor, positions: Tensor, references: Tensor, shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Map tokens (N, S, E) with positions (1, S, E) and reference points (1, S, 1, 2) to (N, S, E)."""
        tokens = self.norms[0](self.self_attn(tokens, tokens, references, shapes, query_pos=positions))
        return self.norms[1](self.ffn(tokens))


class DeformableEncoder(nn.Module):
    """Layers of deformable self-attention over all levels; each pixel looks around its own place.

    Args:
        embed_dims: Channels E of all maps; a multiple of 4.
        num_levels: Feature levels.
        num_layers: Encoder layers.
        num_heads: Heads of the attention.
        num_points: Sampled places per head and level.
        feedforward_channels: Channels of the feed-forward layers.
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
        options = (num_levels, num_heads, num_points, feedforward_channels, attn_dropout, ffn_dropout)
        self.layers = nn.ModuleList(DeformableEncoderLayer(embed_dims, *options) for _ in range(num_layers))
        self.level_embed = nn.Parameter(torch.empty(num_levels, embed_dims))
        self.position_encoding = SinePositionEncoding(embed_dims // 2, normalize=True)
        nn.init.normal_(self.level_embed)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Map maps (N, E, h, w), in the order of ``level_embed``, to maps of the same shapes."""
        tokens, shapes = flatten_levels(levels)
        codes = [self.position_encoding(shape, tokens.device, tokens.dtype) for shape in shapes]
        codes = [code + embed[:, None, None] for code, embed in zip(codes, self.level_embed, strict=True)]
        positions, _ = flatten_levels(codes)
        references = torch.cat([pixel_centers(shape, tokens.device, tokens.dtype) for shape in shapes])
        references = references.view(1, -1, 1, 2)
        for layer in self.layers:
            tokens = layer(tokens, positions, references, shapes)
        return split_levels(tokens, shapes)
