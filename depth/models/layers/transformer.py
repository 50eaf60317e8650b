"""Post-norm transformer layers of detection transformers (DETR, Mask2Former)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.export_mode import is_exporting
from depth.ops import apply_in_chunks


class MLP(nn.Sequential):
    """Multi-layer perceptron: linear layers with ReLU between them.

    Args:
        in_channels: Input channels.
        hidden_channels: Channels of the hidden layers.
        out_channels: Output channels.
        num_layers: Number of linear layers.
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, num_layers: int = 3
    ) -> None:
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
        layers = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers[:-1])


class FeedForward(nn.Module):
    """Feed-forward layer: two linear layers with ReLU and a residual connection.

    Args:
        embed_dims: Channels E.
        feedforward_channels: Hidden channels.
        dropout: Dropout after each layer.
    """

    def __init__(self, embed_dims: int, feedforward_channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(embed_dims, feedforward_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(feedforward_channels, embed_dims),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, L, E) to the same shape."""
        return apply_in_chunks(self._add_to, tokens)

    def _add_to(self, tokens: Tensor) -> Tensor:
        return tokens + self.layers(tokens)


class QueryDecoderLayer(nn.Module):
    """Decoder layer: cross-attention to a memory, self-attention of the queries, feed-forward.

    Post-norm.

    Args:
        embed_dims: Channels E.
        num_heads: Heads of both attentions.
        feedforward_channels: Hidden channels of the feed-forward layer.
        dropout: Dropout of attentions and feed-forward layer.
        cross_first: Apply cross-attention before self-attention, as in Mask2Former and BinsFormer;
            DETR has it after.

    Reference: Masked-attention Mask Transformer, https://arxiv.org/abs/2112.01527; End-to-End
    Object Detection with Transformers, https://arxiv.org/abs/2005.12872.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.0,
        cross_first: bool = True,
    ) -> None:
        super().__init__()
        self.cross_first = cross_first
        self.cross_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.ffn = FeedForward(embed_dims, feedforward_channels, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Tensor,
        memory: Tensor,
        query_pos: Tensor,
        memory_pos: Tensor,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Return the updated queries (N, Q, E).

        Args:
            queries: (N, Q, E).
            memory: (N, S, E), which the queries attend to.
            query_pos: (N or 1, Q, E), added to queries and keys of self-attention and to queries of
                cross-attention.
            memory_pos: (N or 1, S, E), added to the keys of cross-attention, not to the values.
            hidden: Boolean (N, Q, S); True where a query must not attend.
        """
        if self.cross_first:
            queries = self.norms[0](
                self._attend_to_memory(queries, memory, query_pos, memory_pos, hidden)
            )
            queries = self.norms[1](self._attend_to_queries(queries, query_pos))
        else:
            queries = self.norms[0](self._attend_to_queries(queries, query_pos))
            queries = self.norms[1](
                self._attend_to_memory(queries, memory, query_pos, memory_pos, hidden)
            )
        return self.norms[2](self.ffn(queries))

    def _attend_to_memory(
        self,
        queries: Tensor,
        memory: Tensor,
        query_pos: Tensor,
        memory_pos: Tensor,
        hidden: Tensor | None,
    ) -> Tensor:
        if hidden is not None and not is_exporting():
            # PyTorch takes one mask per image and head, heads of an image next to each other.
            hidden = hidden.repeat_interleave(self.cross_attn.num_heads, dim=0)
        # The position goes into keys and queries, not into the values.
        keys = memory + memory_pos
        if is_exporting():
            return queries + attend_exported(
                self.cross_attn, queries + query_pos, keys, memory, hidden
            )
        attended, _ = self.cross_attn(
            queries + query_pos, keys, memory, attn_mask=hidden, need_weights=False
        )
        return queries + self.dropout(attended)

    def _attend_to_queries(self, queries: Tensor, query_pos: Tensor) -> Tensor:
        keys = queries + query_pos
        attended, _ = self.self_attn(keys, keys, queries, need_weights=False)
        return queries + self.dropout(attended)


def attend_exported(
    attention: nn.MultiheadAttention,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    hidden: Tensor | None,
) -> Tensor:
    """Compute an attention by operators whose number of keys may be a symbol.

    Args:
        attention: Its weights, without dropout.
        queries: (N, Q, E).
        keys: (N, S, E).
        values: (N, S, E).
        hidden: Boolean (N, Q, S); True where a query must not attend.

    Returns:
        (N, Q, E).
    """
    weights = attention.in_proj_weight.chunk(3)
    biases = attention.in_proj_bias.chunk(3)
    heads = []
    for tokens, weight, bias in zip((queries, keys, values), weights, biases, strict=True):
        projected = F.linear(tokens, weight, bias)
        split = projected.reshape(*tokens.shape[:2], attention.num_heads, attention.head_dim)
        heads.append(split.transpose(1, 2))  # (N, heads, L, E / heads)
    query, key, value = heads
    logits = query * attention.head_dim**-0.5 @ key.transpose(-2, -1)
    if hidden is not None:
        logits = logits.masked_fill(hidden[:, None], -torch.inf)
    attended = (logits.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
    return attention.out_proj(attended)
