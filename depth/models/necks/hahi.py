"""HAHI, the neck of DepthFormer: hierarchical aggregation and heterogeneous interaction.

Reference: DepthFormer, https://arxiv.org/abs/2203.14211
"""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.registry import MODELS

from ..layers.deformable_attention import (
    MultiScaleDeformableAttention,
    flatten_levels,
    pixel_centers,
    split_levels,
)
from ..layers.position_encoding import SinePositionEncoding
from ..layers.precision import without_autocast


@MODELS.register_module()
class HAHINeck(BaseModule):
    """HAHI neck: deformable attention among transformer levels, then from the stem to them.

    The first feature map is the stem's, the others are the transformer's.

    Args:
        in_channels: Channels of the maps, the stem's first.
        out_channels: Channels of the output maps; ``in_channels`` by default.
        embedding_dim: Channels E of the attention; even.
        num_heads: Heads of both attentions.
        num_points: Sampling points per head and level.
        dropout: Dropout of both attentions.

    Raises:
        ValueError: If the number of channels is odd or the lists differ in length.

    Reference: DepthFormer, https://arxiv.org/abs/2203.14211
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: Sequence[int] | None = None,
        embedding_dim: int = 256,
        num_heads: int = 8,
        num_points: int = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        out_channels = list(out_channels or in_channels)
        if embedding_dim % 2 or len(out_channels) != len(in_channels) or len(out_channels) < 2:
            raise ValueError(
                'HAHINeck: embedding_dim must be even and out_channels as long as in_channels (two '
                f'at least), got {embedding_dim}, {list(in_channels)} and {out_channels}'
            )
        self.in_channels, self.out_channels = list(in_channels), out_channels
        num_levels = len(out_channels) - 1

        def conv(before: int, after: int, kernel_size: int = 1) -> ConvModule:
            norm = dict(type='BN', requires_grad=True)
            return ConvModule(before, after, kernel_size, padding=kernel_size // 2, norm_cfg=norm)

        self.lateral_convs = nn.ModuleList(conv(channels, channels) for channels in in_channels)
        self.trans_proj = nn.ModuleList(
            conv(channels, embedding_dim) for channels in in_channels[1:]
        )
        self.conv_proj = nn.ModuleList([conv(in_channels[0], embedding_dim)])
        self.trans_fusion = nn.ModuleList()
        for before, after in zip(in_channels[1:], out_channels[1:], strict=True):
            self.trans_fusion.append(conv(before + embedding_dim, after, 3))
        self.conv_fusion = nn.ModuleList([conv(in_channels[0] + embedding_dim, out_channels[0], 3)])
        attention = dict(
            num_heads=num_heads, num_levels=num_levels, num_points=num_points, dropout=dropout
        )
        self.self_attn = MultiScaleDeformableAttention(embedding_dim, **attention)
        self.multi_att = MultiScaleDeformableAttention(embedding_dim, **attention)
        self.level_embed = nn.Parameter(torch.empty(num_levels, embedding_dim))
        self.reference_points = nn.Linear(embedding_dim, 2)
        self.position_encoding = SinePositionEncoding(embedding_dim // 2)
        nn.init.normal_(self.level_embed)
        nn.init.xavier_uniform_(self.reference_points.weight)
        nn.init.zeros_(self.reference_points.bias)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Map (N, C, h, w), the stem's map first, then fine to coarse, to maps of equal sizes."""
        laterals = [conv(feat) for conv, feat in zip(self.lateral_convs, feats, strict=True)]
        stem, levels = laterals[0], laterals[1:]
        shapes = [tuple(level.shape[-2:]) for level in levels]
        memory = self._interact(levels, shapes)
        attended_stem = self._cross_interact(stem, memory, shapes)
        # Published quirk, kept for the weights: the stem comes second in its concatenation.
        outputs = [self.conv_fusion[0](torch.cat([attended_stem, stem], dim=1))]
        attended_levels = split_levels(memory, shapes)
        for conv, level, attended in zip(self.trans_fusion, levels, attended_levels, strict=True):
            outputs.append(conv(torch.cat([level, attended], dim=1)))
        return outputs

    def _interact(self, levels: Sequence[Tensor], shapes: list[tuple[int, int]]) -> Tensor:
        """Return the tokens (N, S, E) of all levels after self-attention across levels."""
        projected = [proj(level) for proj, level in zip(self.trans_proj, levels, strict=True)]
        tokens, _ = flatten_levels(projected)  # (N, S, E)
        positions = []
        references = []
        for index, shape in enumerate(shapes):
            code = self.position_encoding(shape, tokens.device, tokens.dtype)
            positions.append(code.flatten(2).transpose(1, 2) + self.level_embed[index])
            references.append(pixel_centers(shape, tokens.device))
        reference = torch.cat(references).view(1, -1, 1, 2)
        return self.self_attn(
            tokens, tokens, reference, shapes, query_pos=torch.cat(positions, dim=1)
        )

    def _cross_interact(
        self, stem: Tensor, memory: Tensor, shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Return the stem's map (N, E, h, w) after cross-attention to the tokens of the levels."""
        query = self.conv_proj[0](stem)
        size = query.shape[-2:]
        position = self.position_encoding(tuple(size), query.device).flatten(2).transpose(1, 2)
        # As published, a query samples around a point learned from its position code, not around
        # its own pixel.
        with without_autocast(query.device):  # in half precision a place would be off by pixels
            points = self.reference_points(position.to(self.reference_points.weight.dtype))
        reference = points.float().sigmoid().unsqueeze(2)  # (1, Q, 1, 2)
        # Sums of tokens that lie in memory by channel with others that lie by pixel are slow.
        attended = self.multi_att(
            query.flatten(2).transpose(1, 2).contiguous(),
            memory,
            reference,
            shapes,
            query_pos=position.to(query.dtype),
        )
        return attended.transpose(1, 2).reshape(*attended.shape[::2], *size)
