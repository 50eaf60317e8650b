"""Mask2Former's pixel decoder and masked query decoder, shared by the methods that build on it.

Reference: Masked-attention Mask Transformer, https://arxiv.org/abs/2112.01527
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from .deformable_attention import DeformableEncoder
from .initialization import caffe2_xavier, draw_matrices
from .position_encoding import SinePositionEncoding
from .transformer import MLP, QueryDecoderLayer


class DeformablePixelDecoder(nn.Module):
    """Pixel decoder of Mask2Former: deformable encoder at strides 32 to 8, a pyramid step to 4.

    Args:
        in_channels: Channels of four levels at strides 4 to 32.
        channels: Channels E of memories and pixel embeddings; a multiple of 32.
        num_layers: Encoder layers.
        num_heads: Heads of the attention.
        num_points: Sampling points per head and level.
        feedforward_channels: Hidden channels of the feed-forward layers.

    Reference: Masked-attention Mask Transformer, https://arxiv.org/abs/2112.01527
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
    ) -> None:
        super().__init__()
        norm = dict(type='GN', num_groups=32)
        self.input_convs = nn.ModuleList(
            ConvModule(before, channels, 1, bias=True, norm_cfg=norm, act_cfg=None)
            for before in in_channels[:0:-1]
        )
        self.encoder = DeformableEncoder(
            channels,
            len(self.input_convs),
            num_layers,
            num_heads=num_heads,
            num_points=num_points,
            feedforward_channels=feedforward_channels,
        )
        self.lateral_conv = ConvModule(
            in_channels[0], channels, 1, bias=False, norm_cfg=norm, act_cfg=None
        )
        self.output_conv = ConvModule(channels, channels, 3, padding=1, bias=False, norm_cfg=norm)
        self.mask_feature = nn.Conv2d(channels, channels, kernel_size=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as Mask2Former does.

        The level embeddings of the encoder stay standard normal.
        """
        for module in self.input_convs:
            nn.init.xavier_uniform_(module.conv.weight)
            nn.init.zeros_(module.conv.bias)
        for conv in (self.lateral_conv.conv, self.output_conv.conv, self.mask_feature):
            caffe2_xavier(conv)
        draw_matrices(self.encoder.layers, nn.init.xavier_normal_)

    def forward(self, feats: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Decode levels (N, C, h, w), finest first, to memories and pixel embeddings.

        Returns:
            Memories (N, E, h, w), coarsest first, and pixel embeddings (N, E, h, w) at stride 4.
        """
        inputs = [conv(feat) for conv, feat in zip(self.input_convs, feats[:0:-1], strict=True)]
        memories = self.encoder(inputs)
        skip = self.lateral_conv(feats[0])
        up = F.interpolate(memories[-1], size=skip.shape[-2:], mode='bilinear', align_corners=False)
        return memories, self.mask_feature(self.output_conv(skip + up))


class QueryState(NamedTuple):
    """State of the queries before or after a decoder layer.

    Attributes:
        queries: All queries (N, Q, E), as they leave the layer.
        normed: Queries with a mask, (N, Q - free, E), after the shared LayerNorm.
        mask_logits: (N, Q - free, h, w), predicted mask of each of these.
    """

    queries: Tensor
    normed: Tensor
    mask_logits: Tensor


class MaskedQueryDecoder(nn.Module):
    """Query decoder of Mask2Former with masked cross-attention; layer i attends to memory i % L.

    A query attends to the pixels at which the mask of its previous prediction is likely
    (logit above 0), or to all pixels if there are none. The last ``num_free`` queries have no mask
    and attend to all pixels.

    Args:
        channels: Channels E.
        num_queries: Number of queries Q.
        num_free: Number of queries without a mask, the last ones.
        num_levels: Memories L.
        num_layers: Decoder layers.
        num_heads: Heads of the attentions.
        feedforward_channels: Hidden channels of the feed-forward layers.

    Reference: Masked-attention Mask Transformer, https://arxiv.org/abs/2112.01527
    """

    def __init__(
        self,
        channels: int = 256,
        num_queries: int = 64,
        num_free: int = 0,
        num_levels: int = 3,
        num_layers: int = 9,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
    ) -> None:
        super().__init__()
        self.num_masked, self.num_free = num_queries - num_free, num_free
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.level_embed = nn.Embedding(num_levels, channels)
        self.position_encoding = SinePositionEncoding(channels // 2, normalize=True)
        self.layers = nn.ModuleList(
            QueryDecoderLayer(channels, num_heads, feedforward_channels) for _ in range(num_layers)
        )
        self.post_norm = nn.LayerNorm(channels)
        self.mask_embed = MLP(channels, channels, channels)
        # As published: the query tables and the mask MLP keep PyTorch's initialisation.
        draw_matrices(self.layers, nn.init.xavier_normal_)

    def forward(self, memories: Sequence[Tensor], pixel_embeddings: Tensor) -> list[QueryState]:
        """Return the state before the first layer and after each one.

        Args:
            memories: (N, E, h, w), in the order in which the layers attend to them.
            pixel_embeddings: (N, E, h, w); their scalar products with the queries are the masks.
        """
        tokens = []
        positions = []
        for memory, embed in zip(memories, self.level_embed.weight, strict=True):
            code = self.position_encoding(tuple(memory.shape[-2:]), memory.device, memory.dtype)
            tokens.append(memory.flatten(2).transpose(1, 2) + embed)
            positions.append(code.flatten(2).transpose(1, 2))
        query_pos = self.query_embed.weight.unsqueeze(0)
        queries = self.query_feat.weight.expand(len(pixel_embeddings), -1, -1)
        states = [self._state(queries, pixel_embeddings)]
        for index, layer in enumerate(self.layers):
            level = index % len(memories)
            hidden = self.hidden_places(states[-1].mask_logits, memories[level].shape[-2:])
            queries = layer(queries, tokens[level], query_pos, positions[level], hidden)
            states.append(self._state(queries, pixel_embeddings))
        return states

    def _state(self, queries: Tensor, pixel_embeddings: Tensor) -> QueryState:
        normed = self.post_norm(queries[:, : self.num_masked])
        logits = torch.einsum('nqe,nehw->nqhw', self.mask_embed(normed), pixel_embeddings)
        return QueryState(queries, normed, logits)

    @torch.no_grad()
    def hidden_places(self, mask_logits: Tensor, size: Sequence[int]) -> Tensor:
        """Return the boolean attention mask (N, Q, h * w) of a memory of ``size`` (h, w).

        True is masked out.
        """
        logits = F.interpolate(
            mask_logits, size=tuple(size), mode='bilinear', align_corners=False
        ).flatten(2)
        hidden = logits.sigmoid() < 0.5
        # A fully masked row would make the softmax NaN: such a query attends to all pixels.
        hidden = hidden & ~hidden.all(dim=-1, keepdim=True)
        return F.pad(hidden, (0, 0, 0, self.num_free))
