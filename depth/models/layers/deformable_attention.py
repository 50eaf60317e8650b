"""The attention layer around ``ms_deform_attn``."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth.ops import ms_deform_attn


class MultiScaleDeformableAttention(nn.Module):
    """Multi-head attention to a few learned places around a reference point on every level.

    Args:
        embed_dims: Channels E of queries and values.
        num_heads: Heads; they divide E.
        num_levels: Feature levels L.
        num_points: Places P per head and level.
        dropout: Dropout of the result, before the input is added.

    Raises:
        ValueError: If the heads do not divide the channels.

    Reference: Deformable DETR, https://arxiv.org/abs/2010.04159
    """

    def __init__(
        self, embed_dims: int, num_heads: int = 8, num_levels: int = 4, num_points: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'deformable attention: num_heads={num_heads} does not divide embed_dims={embed_dims}')
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dims, samples * 2)
        self.attention_weights = nn.Linear(embed_dims, samples)
        self.value_proj = nn.Linear(embed_dims, embed_dims)
        self.output_proj = nn.Linear(embed_dims, embed_dims)
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start with offsets in one direction a head, farther for each point, and equal weights."""
        nn.init.zeros_(self.sampling_offsets.weight)
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        lengths = torch.arange(1, self.num_points + 1)
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
            value: (N, S, E), the levels' pixels one after another.
            reference_points: (N or 1, Q, L or 1, 2) as (x, y) in [0, 1].
            spatial_shapes: (h, w) of each level.
            query_pos: Position code added to the query (N or 1, Q, E), not to the value.
        """
        batch, num_queries = query.shape[:2]
        placed = query if query_pos is None else query + query_pos
        shape = (batch, num_queries, self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(placed).view(*shape, 2)
        weights = self.attention_weights(placed).view(*shape[:3], -1).softmax(dim=-1).view(shape)
        sizes = torch.tensor([(w, h) for h, w in spatial_shapes], dtype=offsets.dtype, device=offsets.device)
        locations = reference_points[:, :, None, :, None, :] + offsets / sizes[:, None, :]
        heads = self.value_proj(value).view(batch, value.shape[1], self.num_heads, -1)
        return query + self.dropout(self.output_proj(ms_deform_attn(heads, spatial_shapes, locations, weights)))
