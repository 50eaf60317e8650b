"""AdaBins head: convolutional decoder, mini-ViT for adaptive bins, expectation over the bins.

Reference: AdaBins, https://arxiv.org/abs/2011.14141
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from depth.export_mode import is_exporting
from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from ..layers.densedepth import DenseDepthDecoder
from ..layers.transformer import attend_exported
from .base_depth_head import BaseDepthHead


class PatchTransformer(nn.Module):
    """Transformer encoder over the patches of a feature map.

    Args:
        in_channels: Channels C of the map.
        channels: Width E of the tokens.
        patch_size: Side of a patch, in pixels of the map.
        num_layers: Post-norm encoder layers.
        num_heads: Heads of the attentions.
        feedforward_channels: Hidden channels of the feed-forward layers.
        dropout: Dropout of attention and feed-forward layers.
        max_tokens: Rows of the position table, which is not interpolated.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 128,
        patch_size: int = 16,
        num_layers: int = 4,
        num_heads: int = 4,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
        max_tokens: int = 500,
    ) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            channels, num_heads, feedforward_channels, dropout, batch_first=True
        )
        self.transformer_encoder = nn.TransformerEncoder(
            layer, num_layers, enable_nested_tensor=False
        )
        self.embedding_convPxP = nn.Conv2d(in_channels, channels, patch_size, stride=patch_size)
        self.positional_encodings = nn.Parameter(torch.rand(max_tokens, channels))

    def num_tokens(self, height: int, width: int) -> int:
        """Return the number of whole patches in a map of ``height`` x ``width``."""
        rows, columns = self.embedding_convPxP.stride
        return (height // rows) * (width // columns)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to tokens (N, L, E)."""
        tokens = self.embedding_convPxP(feat).flatten(2).transpose(1, 2)  # (N, L, E)
        # As published, the table is cut to L rows: a position code belongs to a token's number,
        # not to its place, so that a map of another width reads the codes differently.
        tokens = tokens + self.positional_encodings[: tokens.shape[1]]
        if not is_exporting():
            return self.transformer_encoder(tokens)
        for layer in self.transformer_encoder.layers:
            # Post-norm, as `nn.TransformerEncoderLayer` computes it.
            attended = attend_exported(layer.self_attn, tokens, tokens, tokens, None)
            tokens = layer.norm1(tokens + attended)
            tokens = layer.norm2(tokens + layer.linear2(layer.linear1(tokens).relu()))
        return tokens


class MiniViT(nn.Module):
    """Mini-ViT of AdaBins: predicts bin widths and range attention maps from one feature map.

    The first token of a small transformer gives the bin widths of the image. The following Q tokens
    are 1x1 kernels that are applied to every pixel of the map.

    Args:
        in_channels: Channels C of the map.
        num_bins: Bins D.
        num_queries: Queries Q, the channels of the range attention maps.
        channels: Width E of tokens and queries.
        regressor_channels: Width of the regressor of bin widths.
        **kwargs: Further arguments of :class:`PatchTransformer`.
    """

    def __init__(
        self,
        in_channels: int,
        num_bins: int = 256,
        num_queries: int = 128,
        channels: int = 128,
        regressor_channels: int = 256,
        **kwargs,
    ) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.patch_transformer = PatchTransformer(in_channels, channels, **kwargs)
        self.conv3x3 = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1)
        layers = []
        for before, after in pairwise((channels, regressor_channels, regressor_channels, num_bins)):
            layers += [nn.Linear(before, after), nn.LeakyReLU()]
        self.regressor = nn.Sequential(*layers[:-1])

    def forward(self, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, h, w) to bin widths (N, D) and range attention maps (N, Q, h, w).

        The widths are float32 and sum to 1.

        Raises:
            ValueError: If the map has too few or too many patches.
        """
        self._check_size(*feat.shape[-2:])
        tokens = self.patch_transformer(feat)
        queries = tokens[:, 1 : 1 + self.num_queries]  # (N, Q, E)
        attention = torch.einsum('nqe,nehw->nqhw', queries, self.conv3x3(feat))
        # The constant keeps every bin open, whatever the regressor says.
        widths = self.regressor(tokens[:, 0]).float().relu() + 0.1  # (N, D)
        return widths / widths.sum(dim=1, keepdim=True), attention

    def _check_size(self, height: int, width: int) -> None:
        max_tokens = len(self.patch_transformer.positional_encodings)
        patch_height, patch_width = self.patch_transformer.embedding_convPxP.stride
        num_tokens = self.patch_transformer.num_tokens(height, width)
        if not self.num_queries < num_tokens <= max_tokens:
            raise ValueError(
                f'mini-ViT: a map of {height}x{width} (half of the image) has {num_tokens} patches '
                f'of {patch_height}x{patch_width}, but {self.num_queries + 1} to {max_tokens} are '
                'needed; '
                'use images of another size, or set decode_head.mini_vit (num_queries, patch_size, '
                'max_tokens)'
            )


@MODELS.register_module()
class AdaBinsHead(BaseDepthHead):
    """AdaBins head: depth is the expectation over bins whose widths are predicted for each image.

    Args:
        in_channels: Channels of every feature level, finest (1/2 of the image) first.
        up_sample_channels: Channels after each decoder level, finest first.
        num_bins: Bins D.
        mini_vit: Further arguments of :class:`MiniViT`. With its defaults an image needs 129 to
            500 patches of 32x32 pixels.
        norm_cfg: Normalisation in the decoder.
        act_cfg: Activation in the decoder; the paper's own code has LeakyReLU.
        loss_chamfer: Config of a loss on the bins, ``BinsChamferLoss``; without one by default.
        **kwargs: Depth range, ``align_corners`` and ``loss_decode``, see :class:`BaseDepthHead`.

    Raises:
        ValueError: If the two channel lists differ in length.

    Reference: AdaBins, https://arxiv.org/abs/2011.14141
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        up_sample_channels: Sequence[int] = (128, 256, 512, 1024, 2048),
        num_bins: int = 256,
        mini_vit: dict | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        loss_chamfer: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if len(in_channels) != len(up_sample_channels):
            raise ValueError(
                f'AdaBinsHead: up_sample_channels has {len(up_sample_channels)} entries, '
                f'in_channels has {len(in_channels)}; one for each feature level is needed'
            )
        self.in_channels = list(in_channels)
        channels = up_sample_channels[0]
        norm_cfg, act_cfg = norm_cfg or dict(type='BN'), act_cfg or dict(type='ReLU')
        self.conv_list = DenseDepthDecoder(
            in_channels, up_sample_channels, norm_cfg, act_cfg, self.align_corners
        )
        self.decode_final_conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.adaptive_bins_layer = MiniViT(channels, num_bins, **(mini_vit or {}))
        num_queries = self.adaptive_bins_layer.num_queries
        self.conv_out = nn.Sequential(
            nn.Conv2d(num_queries, num_bins, kernel_size=1), nn.Softmax(dim=1)
        )
        self.loss_chamfer = MODELS.build(loss_chamfer) if loss_chamfer else None

    def forward(
        self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Map features (N, C, h, w), finest first, to depth in metres.

        Returns:
            ``depth`` (N, 1, h, w) at the finest level and ``bin_edges`` (N, D + 1).

        Raises:
            ValueError: If the features have a size that the mini-ViT cannot take.
        """
        decoded = self.decode_final_conv(self.conv_list(feats))  # (N, C, h, w)
        widths, attention = self.adaptive_bins_layer(decoded)
        bin_probs = self.conv_out(attention)  # (N, D, h, w)
        edges = bin_edges_from_widths(widths, self.min_depth, self.max_depth)
        depth = depth_from_bins(bin_probs, bin_centers_from_edges(edges))
        return dict(depth=depth, bin_edges=edges)

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return ``loss_depth`` and, if configured, ``loss_chamfer``.

        ``gt_depth`` (N, 1, H, W) in metres.
        """
        losses = super().loss(outputs, gt_depth, data_samples)
        if self.loss_chamfer is not None:
            losses['loss_chamfer'] = self.loss_chamfer(outputs['bin_edges'], gt_depth, gt_depth > 0)
        return losses
