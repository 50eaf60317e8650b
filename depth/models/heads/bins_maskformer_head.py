"""BinsFormer with MaskFormer's pixel decoder and DETR's transformer decoder, as in mmdepth.

Reference: BinsFormer, https://arxiv.org/abs/2204.00987; MaskFormer,
https://arxiv.org/abs/2107.06278
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from ..layers.initialization import caffe2_xavier, draw_matrices
from ..layers.position_encoding import SinePositionEncoding
from ..layers.transformer import MLP, QueryDecoderLayer
from .query_depth_head import QueryDepthHead, stack_predictions


class FPNPixelDecoder(nn.Module):
    """Feature pyramid of MaskFormer: top-down sums of lateral connections, down to stride 4.

    Args:
        in_channels: Channels of all levels, finest first.
        channels: Channels E of the pyramid and of the pixel embeddings; a multiple of 32.

    Reference: MaskFormer, https://arxiv.org/abs/2107.06278
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        norm = dict(type='GN', num_groups=32)
        finer, coarsest = in_channels[:-1], in_channels[-1]
        self.lateral_convs = nn.ModuleList(
            ConvModule(before, channels, 1, norm_cfg=norm, act_cfg=None) for before in finer
        )
        self.output_convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1, norm_cfg=norm) for _ in finer
        )
        self.last_feat_conv = ConvModule(coarsest, channels, 3, padding=1, norm_cfg=norm)
        self.mask_feature = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the convolutions as MaskFormer does."""
        # Published quirk: the loop leaves out the last lateral and output convolution.
        for module in (*self.lateral_convs[:-1], *self.output_convs[:-1], self.last_feat_conv):
            caffe2_xavier(module.conv)
        caffe2_xavier(self.mask_feature)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Map levels (N, C, h, w), finest first, to pixel embeddings (N, E, h, w) of the finest."""
        # Coarse to fine: a coarser map is doubled by repetition and added to the next lateral one.
        pixels = self.last_feat_conv(feats[-1])
        for feat, lateral, output in zip(
            feats[-2::-1], self.lateral_convs[::-1], self.output_convs[::-1], strict=True
        ):
            skip = lateral(feat)
            pixels = output(skip + F.interpolate(pixels, size=skip.shape[-2:], mode='nearest'))
        return self.mask_feature(pixels)


@MODELS.register_module()
class BinsMaskFormerHead(QueryDepthHead):
    """BinsFormer variant of mmdepth: one query a bin, which attends to the coarsest level only.

    Unlike :class:`BinsFormerHead` it has no attention between levels, no masks, no scene classes.

    Args:
        in_channels: Channels of all levels, finest first.
        channels: Width E of everything inside; a multiple of 32 and of ``num_heads``.
        num_bins: Bins D, one query each.
        num_extra_queries: Queries without a bin, which take part in self-attention only. The
            published 3 are left over from a prediction of the scene's scale that is switched off.
        num_layers: Decoder layers.
        num_heads: Heads of all attentions.
        feedforward_channels: Hidden channels of the feed-forward layers.
        dropout: Dropout of the decoder layers.
        **kwargs: Auxiliary layers, losses and depth range, see :class:`QueryDepthHead`.

    Reference: BinsFormer, https://arxiv.org/abs/2204.00987, as in
    https://github.com/RuijieZhu94/mmdepth; MaskFormer, https://arxiv.org/abs/2107.06278.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        num_bins: int = 64,
        num_extra_queries: int = 3,
        num_layers: int = 9,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.1,
        **kwargs,
    ) -> None:
        super().__init__(num_layers, **dict(align_corners=False) | kwargs)
        self.in_channels, self.num_bins = list(in_channels), num_bins
        self.pixel_decoder = FPNPixelDecoder(in_channels, channels)
        self.input_proj = nn.Conv2d(in_channels[-1], channels, kernel_size=1)
        self.position_encoding = SinePositionEncoding(channels // 2, normalize=True)
        self.query_embed = nn.Embedding(num_bins + num_extra_queries, channels)
        self.layers = nn.ModuleList(
            QueryDecoderLayer(channels, num_heads, feedforward_channels, dropout, cross_first=False)
            for _ in range(num_layers)
        )
        self.decoder_norm = nn.LayerNorm(channels)
        self.bins_embed = nn.Linear(channels, 1)
        self.mask_embed = MLP(channels, channels, channels)
        caffe2_xavier(self.input_proj)
        draw_matrices(self.layers, nn.init.xavier_uniform_)

    def forward(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DepthDataSample] | None = None,
        all_layers: bool = False,
    ) -> dict[str, Tensor]:
        """Map features, finest (N, C, h, w) first, to depth in metres.

        Args:
            feats: All levels.
            data_samples: Not used.
            all_layers: Predict after every decoder layer; otherwise after those that are trained,
                and in eval mode after the last one only.

        Returns:
            ``depth`` (N, 1, h, w), not clamped; ``layers``, the numbers of the M predicting layers,
            the last one last; their ``layer_depths`` (N, M, h, w), ``bin_edges`` (N, M, D + 1),
            ``bin_logits`` (N, M, D).
        """
        pixels = self.pixel_decoder(feats)
        layers = self.predicting_layers(all_layers)
        predictions = [
            self._predict(queries, pixels) for queries in self._decode(feats[-1], layers)
        ]
        outputs = stack_predictions(predictions)
        return dict(outputs, depth=outputs['layer_depths'][:, -1:], layers=layers)

    def _decode(self, memory: Tensor, predicting_layers: Sequence[int]) -> list[Tensor]:
        """Return the normalised queries (N, Q, E) after each of ``predicting_layers``."""
        memory = self.input_proj(memory)
        code = self.position_encoding(tuple(memory.shape[-2:]), memory.device, memory.dtype)
        tokens = memory.flatten(2).transpose(1, 2)  # (N, L, E)
        positions = code.flatten(2).transpose(1, 2)  # (1, L, E)
        query_pos = self.query_embed.weight.unsqueeze(0)
        # DETR: the queries start at zero, the table is their position code.
        queries = torch.zeros_like(query_pos).expand(len(memory), -1, -1)
        layer_queries = []
        for index, layer in enumerate(self.layers):
            queries = layer(queries, tokens, query_pos, positions)
            if index in predicting_layers:
                layer_queries.append(self.decoder_norm(queries))
        return layer_queries

    def _predict(self, queries: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Return one layer's depth (N, h, w) and bins."""
        queries = queries[:, : self.num_bins]  # (N, D, E)
        bin_logits = self.bins_embed(queries).squeeze(-1).float()  # (N, D)
        pixel_logits = torch.einsum('nde,nehw->ndhw', self.mask_embed(queries), pixels).float()
        edges = bin_edges_from_widths(bin_logits.softmax(dim=1), self.min_depth, self.max_depth)
        depth = depth_from_bins(pixel_logits.softmax(dim=1), bin_centers_from_edges(edges))
        return dict(layer_depths=depth[:, 0], bin_edges=edges, bin_logits=bin_logits)

    def depth_losses(
        self,
        outputs: dict[str, Tensor],
        index: int,
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None,
        is_last: bool,
    ) -> dict[str, Tensor]:
        """Return the loss on depth."""
        return self.losses_on_depth(outputs['layer_depths'][:, index], gt_depth)
