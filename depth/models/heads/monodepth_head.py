"""Monodepth2 head: a light U-Net decoder with sigmoid outputs at several scales.

Reference: Digging Into Self-Supervised Monocular Depth Estimation, https://arxiv.org/abs/1806.01260
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.registry import MODELS

from .sigmoid_depth_head import SigmoidDepthHead, reflect_conv


@MODELS.register_module()
class MonodepthHead(SigmoidDepthHead):
    """Monodepth2 head: U-Net decoder with five levels and sigmoid outputs.

    Each level convolves, upsamples (nearest), concatenates the skip connection and convolves.

    The finest of the five levels has twice the resolution of the first feature map and no skip
    connection: with a ResNet that is the size of the image.

    Args:
        in_channels: Channels of the five feature levels, finest first, each half the size of the
            one before.
        channels: Channels of the five decoder levels, finest first.
        num_outputs: Number of levels with an output, counted from the finest.
        output_range: See :class:`SigmoidDepthHead`.

    Raises:
        ValueError: If the lists differ in length, or there are fewer levels than outputs.

    Reference: Digging Into Self-Supervised Monocular Depth Estimation,
    https://arxiv.org/abs/1806.01260.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 64, 128, 256, 512),
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        num_outputs: int = 4,
        output_range: Sequence[float] = (0.1, 100.0),
    ) -> None:
        super().__init__(output_range)
        if len(in_channels) != len(channels) or not 1 <= num_outputs <= len(channels):
            raise ValueError(
                'MonodepthHead: in_channels and channels name as many levels, num_outputs is at '
                f'most that many, got {list(in_channels)}, {list(channels)} and {num_outputs}'
            )
        self.in_channels = list(in_channels)
        coarser_channels = [*channels[1:], in_channels[-1]]
        skip_channels = [0, *in_channels[:-1]]  # the finest level has no skip connection
        self.up_convs = nn.ModuleList()
        self.skip_convs = nn.ModuleList()
        for coarser, width in zip(coarser_channels, channels, strict=True):
            self.up_convs.append(reflect_conv(coarser, width))
        for skip, width in zip(skip_channels, channels, strict=True):
            self.skip_convs.append(reflect_conv(skip + width, width))
        self.outputs = nn.ModuleList(
            reflect_conv(channels[level], 1) for level in range(num_outputs)
        )

    def forward(
        self, feats: Sequence[Tensor], data_samples: list | None = None
    ) -> dict[str, list[Tensor]]:
        """Map features (N, C, h, w), finest first, to ``sigmoids`` (N, 1, h, w), finest first."""
        # Level 0 is twice as fine as the finest features and has no skip connection.
        skips = [None, *feats[:-1]]
        x = feats[-1]
        sigmoids = []
        for level in reversed(range(len(skips))):  # coarse to fine
            x = F.elu(self.up_convs[level](F.interpolate(x, scale_factor=2, mode='nearest')))
            if skips[level] is not None:
                x = torch.cat([x, skips[level]], dim=1)
            x = F.elu(self.skip_convs[level](x))
            if level < len(self.outputs):
                sigmoids.insert(0, self.outputs[level](x).sigmoid())
        return dict(sigmoids=sigmoids)
