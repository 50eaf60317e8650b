"""AdaBins: a decoder, a mini-ViT that divides each image's depth range, and probabilities of the bins."""

from collections.abc import Sequence

from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from ..layers.densedepth import DenseDepthDecoder
from ..layers.mini_vit import MiniViT
from .base_depth_head import BaseDepthHead


@MODELS.register_module()
class AdaBinsHead(BaseDepthHead):
    """Depth as an expectation over bins whose widths are predicted for each image.

    Args:
        in_channels: Channels of every feature level, finest (1/2 of the image) first.
        up_sample_channels: Channels after each decoder level, finest first.
        num_bins: Bins D.
        mini_vit: Further arguments of :class:`~depth.models.layers.MiniViT`. With its defaults an image needs 129 to
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
            ValueError: If the features have other channels, or a size that the mini-ViT cannot take.
        """
        found = [feat.shape[1] for feat in feats]
        if found != self.in_channels:
            raise ValueError(f'AdaBinsHead: decode_head.in_channels is {self.in_channels}, the backbone gives {found}')
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
