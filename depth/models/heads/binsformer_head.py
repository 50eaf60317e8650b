"""BinsFormer head: transformer queries as depth bins, decoded over multi-scale features.

Reference: BinsFormer, https://arxiv.org/abs/2204.00987
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from ..layers.deformable_attention import DeformableEncoder
from ..layers.initialization import draw_matrices
from ..layers.position_encoding import SinePositionEncoding
from ..layers.transformer import MLP, QueryDecoderLayer
from .query_depth_head import QueryDepthHead, stack_predictions

LEVEL_ORDERS = ('//', '%')
NUM_MEMORIES = 3


@MODELS.register_module()
class BinsFormerHead(QueryDepthHead):
    """BinsFormer head: every query predicts the width of a bin and its probability map.

    Parameters of the published network that nothing uses are not built.

    Args:
        in_channels: Channels of four levels at strides 4 to 32.
        channels: Width E of everything inside; a multiple of 4 and of ``num_heads``.
        num_bins: Bins D, one query each.
        num_classes: Scene classes K, predicted by one more query; 0 leaves the classification out.
        num_layers: Decoder layers.
        level_order: Memory that decoder layer i attends to, coarsest first: ``i // 3`` for
            ``'//'``, ``i % 3`` for ``'%'``.
        num_heads: Heads of all attentions.
        encoder: Further arguments of :class:`~depth.models.layers.DeformableEncoder`.
        feedforward_channels: Hidden channels of the feed-forward layers.
        loss_chamfer: Config of a loss on the bins, ``BinsChamferLoss``; without one by default, as
            published.
        **kwargs: Auxiliary layers, losses and depth range, see :class:`QueryDepthHead`.

    Raises:
        ValueError: If the options do not fit each other.

    Reference: BinsFormer, https://arxiv.org/abs/2204.00987
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        num_bins: int = 64,
        num_classes: int = 25,
        num_layers: int = 9,
        level_order: str = '%',
        num_heads: int = 8,
        encoder: dict | None = None,
        feedforward_channels: int = 2048,
        loss_chamfer: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(num_layers, num_classes=num_classes, **kwargs)
        _check_options(in_channels, level_order, num_layers)
        self.in_channels = list(in_channels)
        self.level_order = level_order

        def conv(before: int, kernel_size: int, act: str = 'LeakyReLU') -> ConvModule:
            act_cfg = dict(type=act, negative_slope=0.01) if act == 'LeakyReLU' else dict(type=act)
            norm_cfg = dict(type='BN')
            return ConvModule(
                before,
                channels,
                kernel_size,
                padding=kernel_size // 2,
                norm_cfg=norm_cfg,
                act_cfg=act_cfg,
            )

        self.skip_proj = nn.ModuleList(conv(before, 1) for before in in_channels[1:])
        self.encoder = DeformableEncoder(
            channels,
            NUM_MEMORIES,
            num_heads=num_heads,
            **dict(num_points=8, attn_dropout=0.1, ffn_dropout=0.1) | (encoder or {}),
        )
        self.lateral_convs = nn.ModuleList(
            conv(before, 1, 'ReLU') for before in reversed(in_channels[:3])
        )
        self.output_convs = nn.ModuleList(conv(channels, 3) for _ in range(3))

        num_queries = num_bins + bool(num_classes)
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.level_embed = nn.Embedding(NUM_MEMORIES, channels)
        self.position_encoding = SinePositionEncoding(channels // 2, normalize=True)
        self.layers = nn.ModuleList(
            QueryDecoderLayer(channels, num_heads, feedforward_channels) for _ in range(num_layers)
        )
        self.decoder_norm = nn.LayerNorm(channels)
        self.bins_embed = nn.Linear(channels, 1)
        self.mask_embed = MLP(channels, channels, channels)
        self.class_embed = MLP(channels, channels, num_classes) if num_classes else None
        # Xavier's start for every matrix, the query tables included, as published.
        draw_matrices(self, nn.init.xavier_uniform_)
        nn.init.normal_(self.encoder.level_embed)
        self.loss_chamfer = MODELS.build(loss_chamfer) if loss_chamfer else None

    def forward(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DepthDataSample] | None = None,
        all_layers: bool = False,
    ) -> dict[str, Tensor]:
        """Map features, finest (N, C, h, w) first, to depth in metres.

        Args:
            feats: Four levels.
            data_samples: Not used.
            all_layers: Predict after every decoder layer; otherwise after those that are trained,
                and in eval mode after the last one only.

        Returns:
            ``depth`` (N, 1, h, w), not clamped; ``layers``, the numbers of the M predicting layers,
            the last one last; their ``layer_depths`` (N, M, h, w), ``bin_edges`` (N, M, D + 1),
            ``bin_logits`` (N, M, D) and, with classes, ``class_logits`` (N, M, K).
        """
        encoded = self.encoder(
            [proj(feat) for proj, feat in zip(self.skip_proj, feats[1:], strict=True)]
        )
        pixels = self._pixel_map(encoded[0], feats)
        layers = self.predicting_layers(all_layers)
        predictions = [
            self._predict(queries, pixels) for queries in self._decode(encoded[::-1], layers)
        ]
        outputs = stack_predictions(predictions)
        return dict(outputs, depth=outputs['layer_depths'][:, -1:], layers=layers)

    def _pixel_map(self, finest: Tensor, feats: Sequence[Tensor]) -> Tensor:
        """Return pixel embeddings (N, E, h, w) at stride 4 from the encoded map at stride 8.

        Args:
            finest: Encoded map at stride 8.
            feats: Backbone levels, finest first.
        """
        # Published quirk, kept for the weights: the pyramid walks strides 16, 8, 4, so that the
        # encoded map is first reduced to stride 16 and then enlarged again.
        result = finest
        for lateral, output, feat in zip(
            self.lateral_convs, self.output_convs, feats[2::-1], strict=True
        ):
            skip = lateral(feat)
            result = F.interpolate(
                result, size=skip.shape[-2:], mode='bilinear', align_corners=True
            )
            result.add_(skip)  # in place: these are the largest maps
            del skip
            result = output(result)
        return result

    def _decode(self, memories: Sequence[Tensor], predicting_layers: Sequence[int]) -> list[Tensor]:
        """Return the queries (N, Q, E) after each of ``predicting_layers``.

        Memories are coarsest first.
        """
        tokens = [memory.flatten(2).transpose(1, 2) for memory in memories]
        positions = []
        for memory, embed in zip(memories, self.level_embed.weight, strict=True):
            code = self.position_encoding(tuple(memory.shape[-2:]), memory.device, memory.dtype)
            positions.append(code.flatten(2).transpose(1, 2) + embed)
        queries = self.query_feat.weight.expand(len(tokens[0]), -1, -1)
        query_pos = self.query_embed.weight.unsqueeze(0)
        layer_queries = []
        for index, layer in enumerate(self.layers):
            level = index // NUM_MEMORIES if self.level_order == '//' else index % NUM_MEMORIES
            queries = layer(queries, tokens[level], query_pos, positions[level])
            if index in predicting_layers:
                layer_queries.append(queries)
        return layer_queries

    def _predict(self, queries: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Return one layer's depth (N, h, w), bins and class logits."""
        queries = self.decoder_norm(queries)
        outputs = {}
        if self.class_embed is not None:
            # The first query is the scene's, the others are the bins'.
            outputs['class_logits'] = self.class_embed(queries[:, 0])
            queries = queries[:, 1:]  # (N, D, E)
        bin_logits = self.bins_embed(queries).squeeze(-1).float()  # (N, D)
        pixel_logits = torch.einsum('nde,nehw->ndhw', self.mask_embed(queries), pixels).float()
        edges = bin_edges_from_widths(bin_logits.softmax(dim=1), self.min_depth, self.max_depth)
        depth = depth_from_bins(pixel_logits.softmax(dim=1), bin_centers_from_edges(edges))
        return dict(outputs, layer_depths=depth[:, 0], bin_edges=edges, bin_logits=bin_logits)

    def depth_losses(
        self,
        outputs: dict[str, Tensor],
        index: int,
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None,
        is_last: bool,
    ) -> dict[str, Tensor]:
        """Return the loss on depth and, if configured, the loss on bins."""
        losses = self.losses_on_depth(outputs['layer_depths'][:, index], gt_depth)
        if self.loss_chamfer is not None:
            losses['chamfer'] = self.loss_chamfer(
                outputs['bin_edges'][:, index], gt_depth, gt_depth > 0
            )
        return losses


def _check_options(in_channels: Sequence[int], level_order: str, num_layers: int) -> None:
    if len(in_channels) != NUM_MEMORIES + 1:
        raise ValueError(
            f'BinsFormerHead: in_channels must name four levels, got {list(in_channels)}'
        )
    if level_order not in LEVEL_ORDERS:
        raise ValueError(
            f'BinsFormerHead: level_order is one of {LEVEL_ORDERS}, got {level_order!r}'
        )
    if level_order == '//' and num_layers > NUM_MEMORIES**2:
        raise ValueError(
            f"BinsFormerHead: level_order '//' allows {NUM_MEMORIES**2} layers, got {num_layers}"
        )
