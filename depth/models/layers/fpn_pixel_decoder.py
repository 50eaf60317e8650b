"""The pixel decoder of MaskFormer: a feature pyramid down to stride 4."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from .initialization import caffe2_xavier


class FPNPixelDecoder(nn.Module):
    """From the coarsest level upwards, each level is joined to what comes from below it.

    Args:
        in_channels: Channels of all levels, finest first.
        channels: Channels E of the pyramid and of the pixel embeddings; a multiple of 32.

    Reference: MaskFormer, https://arxiv.org/abs/2107.06278
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        norm = dict(type='GN', num_groups=32)
        *finer, coarsest = in_channels
        self.lateral_convs = nn.ModuleList(
            ConvModule(before, channels, 1, norm_cfg=norm, act_cfg=None) for before in finer
        )
        self.output_convs = nn.ModuleList(ConvModule(channels, channels, 3, padding=1, norm_cfg=norm) for _ in finer)
        self.last_feat_conv = ConvModule(coarsest, channels, 3, padding=1, norm_cfg=norm)
        self.mask_feature = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as MaskFormer does, whose loop leaves out the last lateral and output convolution."""
        for module in (*self.lateral_convs[:-1], *self.output_convs[:-1], self.last_feat_conv):
            caffe2_xavier(module.conv)
        caffe2_xavier(self.mask_feature)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Map levels (N, C, h, w), finest first, to pixel embeddings (N, E, h, w) of the finest one's size."""
        pixels = self.last_feat_conv(feats[-1])
        for feat, lateral, output in zip(feats[-2::-1], self.lateral_convs[::-1], self.output_convs[::-1], strict=True):
            skip = lateral(feat)
            pixels = output(skip + F.interpolate(pixels, size=skip.shape[-2:], mode='nearest'))
        return self.mask_feature(pixels)
