"""DenseDepth decoder: up-sample, concatenate the skip connection, two convolutions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from depth.registry import MODELS

from .regression_head import RegressionHead


class UpSample(nn.Module):
    """Bring a coarse map to the size of its skip connection and mix both with two convolutions.

    Args:
        skip_channels: Channels of the skip connection plus those of the coarse map.
        out_channels: Channels of the result.
        norm_cfg: Normalisation, None for none (the convolutions then have a bias).
        act_cfg: Activation.
        align_corners: Convention of the bilinear up-sampling.
    """

    def __init__(
        self, skip_channels: int, out_channels: int, norm_cfg: dict | None, act_cfg: dict, align_corners: bool
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        block = dict(kernel_size=3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.convA = ConvModule(skip_channels, out_channels, **block)
        self.convB = ConvModule(out_channels, out_channels, **block)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Map ``coarse`` (N, C1, h, w) and ``skip`` (N, C2, H, W) to (N, C, H, W)."""
        up = F.interpolate(coarse, size=skip.shape[-2:], mode='bilinear', align_corners=self.align_corners)
        return self.convB(self.convA(torch.cat([up, skip], dim=1)))


@MODELS.register_module()
class DenseDepthHead(RegressionHead):
    """Decoder of DenseDepth with a regression output.

    Args:
        in_channels: Channels of every feature level, finest first.
        up_sample_channels: Channels after each decoder level, finest first, so the first entry equals ``channels``;
            by default ``in_channels`` with ``channels`` at the finest level.
        channels: Channels of the last map, at the finest level.
        norm_cfg: Normalisation in the decoder; the published heads have none.
        act_cfg: Activation in the decoder; LeakyReLU with slope 0.01 as published by default.
        **kwargs: ``scale_up``, depth range, ``align_corners`` and ``loss_decode``, see :class:`RegressionHead`.

    Raises:
        ValueError: If the two channel lists differ in length, or ``up_sample_channels`` does not end in ``channels``.

    Reference: High Quality Monocular Depth Estimation via Transfer Learning, https://arxiv.org/abs/1812.11941
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        up_sample_channels: Sequence[int] | None = None,
        channels: int = 64,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(channels, **kwargs)
        widths = list(up_sample_channels or in_channels)
        if len(widths) != len(in_channels):
            raise ValueError(
                f'DenseDepthHead: up_sample_channels has {len(widths)} entries, in_channels has {len(in_channels)}; '
                'one for each feature level is needed'
            )
        if up_sample_channels and widths[0] != channels:
            raise ValueError(
                f'DenseDepthHead: the finest of up_sample_channels {widths} must be channels={channels}, '
                'both are the width of the last map'
            )
        self.in_channels = list(in_channels)
        act_cfg = act_cfg or dict(type='LeakyReLU', negative_slope=0.01)
        # Coarse to fine; the finest level ends at `channels`.
        outs = [widths[-1], *reversed(widths[:-1])]
        outs[-1] = channels
        self.conv_list = nn.ModuleList([ConvModule(in_channels[-1], outs[0], kernel_size=1, act_cfg=None)])
        for before, skip, after in zip(outs, reversed(self.in_channels[:-1]), outs[1:], strict=False):
            self.conv_list.append(UpSample(before + skip, after, norm_cfg, act_cfg, self.align_corners))

    def forward(self, feats: Sequence[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Map features (N, C, h, w), finest first, to ``depth`` (N, 1, h, w) in metres at the finest level.

        Raises:
            ValueError: If the number of levels or their channels are not the configured ones.
        """
        found = [feat.shape[1] for feat in feats]
        if found != self.in_channels:
            raise ValueError(
                f'DenseDepthHead: decode_head.in_channels is {self.in_channels}, '
                f'but the backbone and neck give maps with {found} channels'
            )
        coarse = self.conv_list[0](feats[-1])
        for block, skip in zip(self.conv_list[1:], reversed(feats[:-1]), strict=True):
            coarse = block(coarse, skip)
        return dict(depth=self.regress(coarse))
