"""AdaBins: a decoder, a mini-ViT that divides each image's depth range, and probabilities of the bins."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from ..layers.densedepth import DenseDepthDecoder
from .base_depth_head import BaseDepthHead


class PatchTransformer(nn.Module):
    """Patches of a feature map as tokens through a small transformer encoder.

    Args:
        in_channels: Channels C of the map.
        channels: Width E of the tokens.
        patch_size: Side of a patch, in pixels of the map.
        num_layers: Post-norm encoder layers.
        num_heads: Heads of the attentions.
        feedforward_channels: Of the layers.
        dropout: Of all parts of the layers.
        max_tokens: Rows of the position table; not interpolated.
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
        layer = nn.TransformerEncoderLayer(channels, num_heads, feedforward_channels, dropout, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.embedding_convPxP = nn.Conv2d(in_channels, channels, patch_size, stride=patch_size)
        self.positional_encodings = nn.Parameter(torch.rand(max_tokens, channels))

    def num_tokens(self, height: int, width: int) -> int:
        """Return how many tokens a map of this size gives."""
        rows, columns = self.embedding_convPxP.stride
        return (height // rows) * (width // columns)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to tokens (N, L, E)."""
        tokens = self.embedding_convPxP(feat).flatten(2).transpose(1, 2)
        return self.transformer_encoder(tokens + self.positional_encodings[: tokens.shape[1]])


class MiniViT(nn.Module):
    """Global context as bin widths (the first token) and as queries (the next ones) that look at every pixel.

    Args:
        in_channels: Channels C of the map.
        num_bins: Bins D.
        num_queries: Queries Q, the channels of the range attention maps.
        channels: Width E of tokens and queries.
        regressor_channels: Width of the regressor of bin widths.
        **kwargs: Of :class:`PatchTransformer`.
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
        """Map (N, C, h, w) to bin widths (N, D), float32 that sum to 1, and range attention maps (N, Q, h, w).

        Raises:
            ValueError: If the map has too few or too many patches.
        """
        self._check(*feat.shape[-2:])
        tokens = self.patch_transformer(feat)
        queries = tokens[:, 1 : 1 + self.num_queries]
        attention = torch.einsum('nqe,nehw->nqhw', queries, self.conv3x3(feat))
        widths = self.regressor(tokens[:, 0]).float().relu() + 0.1  # no bin is empty
        return widths / widths.sum(dim=1, keepdim=True), attention

    def _check(self, height: int, width: int) -> None:
        most, patch = len(self.patch_transformer.positional_encodings), self.patch_transformer.embedding_convPxP.stride
        found = self.patch_transformer.num_tokens(height, width)
        if not self.num_queries < found <= most:
            raise ValueError(
                f'mini-ViT: a map of {height}x{width} (half of the image) has {found} patches of '
                f'{patch[0]}x{patch[1]}, but {self.num_queries + 1} to {most} are needed; '
                'use images of another size, or set decode_head.mini_vit (num_queries, patch_size, max_tokens)'
            )


@MODELS.register_module()
class AdaBinsHead(BaseDepthHead):
    """Depth as an expectation over bins whose widths are predicted for each image.

    Args:
        in_channels: Channels of every feature level, finest (1/2 of the image) first.
        up_sample_channels: Channels after each decoder level, finest first.
        num_bins: Bins D.
        mini_vit: Further arguments of :class:`MiniViT`. With its defaults an image needs 129 to
            500 patches of 32x32 pixels.
        norm_cfg: Normalisation in the decoder.
        act_cfg: Activation in the decoder; the paper's own code has LeakyReLU.
        loss_chamfer: Config of a loss on bins; None for none.
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
                f'AdaBinsHead: up_sample_channels has {len(up_sample_channels)} entries, in_channels has '
                f'{len(in_channels)}; one for each feature level is needed'
            )
        self.in_channels = list(in_channels)
        channels = up_sample_channels[0]
        norm_cfg, act_cfg = norm_cfg or dict(type='BN'), act_cfg or dict(type='ReLU')
        self.conv_list = DenseDepthDecoder(in_channels, up_sample_channels, norm_cfg, act_cfg, self.align_corners)
        self.decode_final_conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.adaptive_bins_layer = MiniViT(channels, num_bins, **(mini_vit or {}))
        num_queries = self.adaptive_bins_layer.num_queries
        self.conv_out = nn.Sequential(nn.Conv2d(num_queries, num_bins, kernel_size=1), nn.Softmax(dim=1))
        self.loss_chamfer = MODELS.build(loss_chamfer) if loss_chamfer else None

    def forward(self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None) -> dict[str, Tensor]:
        """Map features (N, C, h, w), finest first, to depth in metres.

        Returns:
            ``depth`` (N, 1, h, w) at the finest level and ``bin_edges`` (N, D + 1).

        Raises:
            ValueError: If the features have a size that the mini-ViT cannot take.
        """
        widths, attention = self.adaptive_bins_layer(self.decode_final_conv(self.conv_list(feats)))
        edges = bin_edges_from_widths(widths, self.min_depth, self.max_depth)
        return dict(depth=depth_from_bins(self.conv_out(attention), bin_centers_from_edges(edges)), bin_edges=edges)

    def loss(
        self, outputs: dict[str, Tensor], gt_depth: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return the loss on depth and, if there is one, the loss on bins; ``gt_depth`` (N, 1, H, W) in metres."""
        losses = super().loss(outputs, gt_depth, data_samples)
        if self.loss_chamfer is not None:
            losses['loss_chamfer'] = self.loss_chamfer(outputs['bin_edges'], gt_depth, gt_depth > 0)
        return losses
