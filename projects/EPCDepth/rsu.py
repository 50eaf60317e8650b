"""Residual U-block (RSU): a small U-Net with a residual connection, used like a convolution."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.models.heads import reflect_conv
from depth.models.layers import resize_map


class ConvELU(nn.Module):
    """3x3 convolution with reflected borders, then ELU; keeps the size.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        dilation: Of the convolution; the border is as wide.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = reflect_conv(in_channels, out_channels, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C1, h, w) to (N, C2, h, w)."""
        return F.elu(self.conv_s1(x))


class RSU(nn.Module):
    """Residual U-block of U2-Net without its normalisation.

    Names are those of the published checkpoints: ``rebnconv1`` to ``rebnconv{height}`` go down, the
    last one dilated instead of pooled, ``rebnconv{k}d`` come up again.

    Args:
        height: Number L of levels; ``height - 2`` of them halve the size.
        in_channels: Channels of the input.
        mid_channels: Channels inside.
        out_channels: Channels of the output.

    Reference: U2-Net: Going Deeper with Nested U-Structure, https://arxiv.org/abs/2005.09007.
    """

    def __init__(self, height: int, in_channels: int, mid_channels: int, out_channels: int) -> None:
        super().__init__()
        self.height = height
        self.rebnconvin = ConvELU(in_channels, out_channels)
        for level in range(1, height + 1):
            width = out_channels if level == 1 else mid_channels
            unit = ConvELU(width, mid_channels, dilation=2 if level == height else 1)
            self.add_module(f'rebnconv{level}', unit)
        for level in range(height - 1, 0, -1):
            width = out_channels if level == 1 else mid_channels
            self.add_module(f'rebnconv{level}d', ConvELU(2 * mid_channels, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C1, h, w) to (N, C2, h, w)."""
        residual = x = self.rebnconvin(x)
        skips = []
        for level in range(1, self.height):
            x = self.get_submodule(f'rebnconv{level}')(x)
            skips.append(x)
            if level < self.height - 1:  # the last two levels share a size
                x = F.max_pool2d(x, kernel_size=2, stride=2, ceil_mode=True)
        x = self.get_submodule(f'rebnconv{self.height}')(x)
        for level in range(self.height - 1, 0, -1):
            skip = skips[level - 1]
            up = resize_map(x, skip.shape[-2:])
            x = self.get_submodule(f'rebnconv{level}d')(torch.cat([up, skip], dim=1))
        return x + residual
