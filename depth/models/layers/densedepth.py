"""Decoder of DenseDepth: upsample, concatenate the skip connection, convolve twice; at every level.

Reference: High Quality Monocular Depth Estimation via Transfer Learning,
https://arxiv.org/abs/1812.11941
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn


class UpSample(nn.Module):
    """Upsampling block: resize to the skip connection, concatenate it, convolve twice.

    Args:
        skip_channels: Sum of the channels of the coarse map and of the skip connection.
        out_channels: Channels of the result.
        norm_cfg: Normalisation; None for convolutions with a bias instead.
        act_cfg: Activation.
        align_corners: Convention of the bilinear up-sampling.
    """

    def __init__(
        self,
        skip_channels: int,
        out_channels: int,
        norm_cfg: dict | None,
        act_cfg: dict,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        block = dict(kernel_size=3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.convA = ConvModule(skip_channels, out_channels, **block)
        self.convB = ConvModule(out_channels, out_channels, **block)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Map ``coarse`` (N, C1, h, w) and ``skip`` (N, C2, H, W) to (N, C, H, W)."""
        # To the size of the skip connection, not by 2: levels of odd sizes fit too.
        up = F.interpolate(
            coarse, size=skip.shape[-2:], mode='bilinear', align_corners=self.align_corners
        )
        return self.convB(self.convA(torch.cat([up, skip], dim=1)))


class DenseDepthDecoder(nn.ModuleList):
    """DenseDepth decoder: 1x1 convolution of the coarsest map, then one block per finer level.

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
        for before, skip, after in zip(
            widths, reversed(in_channels[:-1]), widths[1:], strict=False
        ):
            blocks.append(UpSample(before + skip, after, norm_cfg, act_cfg, align_corners))
        super().__init__(blocks)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Map features (N, C, h, w), finest first, to one map at the finest level."""
        blocks = list(self)
        decoded = blocks[0](feats[-1])
        for block, skip in zip(blocks[1:], reversed(feats[:-1]), strict=True):
            decoded = block(decoded, skip)
        return decoded
