"""The decoder of DenseDepth: up-sample, concatenate the skip connection, two convolutions.

Reference: High Quality Monocular Depth Estimation via Transfer Learning, https://arxiv.org/abs/1812.11941
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn


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


class DenseDepthDecoder(nn.ModuleList):
    """A 1x1 convolution of the coarsest map, then one :class:`UpSample` for each finer level.

    Args:
        in_channels: Channels of every feature level, finest first.
        up_sample_channels: Channels after each decoder level, finest first.
        norm_cfg: Normalisation of the up-sampling blocks, None for none.
        act_cfg: Activation of the up-sampling blocks.
        align_corners: Convention of the bilinear up-sampling.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        up_sample_channels: Sequence[int],
        norm_cfg: dict | None,
        act_cfg: dict,
        align_corners: bool,
    ) -> None:
        widths = list(reversed(up_sample_channels))
        blocks = [ConvModule(in_channels[-1], widths[0], kernel_size=1, act_cfg=None)]
        for before, skip, after in zip(widths, reversed(in_channels[:-1]), widths[1:], strict=False):
            blocks.append(UpSample(before + skip, after, norm_cfg, act_cfg, align_corners))
        super().__init__(blocks)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Map features (N, C, h, w), finest first, to one map at the finest level."""
        first, *blocks = self
        coarse = first(feats[-1])
        for block, skip in zip(blocks, reversed(feats[:-1]), strict=True):
            coarse = block(coarse, skip)
        return coarse
