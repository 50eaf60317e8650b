"""Dense atrous spatial pyramid: dilated convolutions that see what the ones before them found.

Reference: From Big to Small, https://arxiv.org/abs/1907.10326
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AtrousBlock(nn.Sequential):
    """A norm, then twice an activation and a convolution: 1x1 to 2 C channels, 3x3 dilated to C.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels C of the result.
        dilation: Of the 3x3 convolution.
        first_norm: Whether the input gets a norm; it has one already in the first block.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int, first_norm: bool = True) -> None:
        layers = [nn.BatchNorm2d(in_channels, eps=1.1e-5, momentum=0.01)] if first_norm else []
        super().__init__(
            *layers,
            nn.ReLU(),
            nn.Conv2d(in_channels, 2 * out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(2 * out_channels, momentum=0.01),
            nn.ReLU(),
            nn.Conv2d(2 * out_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False),
        )


class DenseASPP(nn.Module):
    """Atrous blocks in a row; each takes the context and all results before it.

    Args:
        in_channels: Channels of the map that the first block takes.
        context_channels: Channels of the map that the other blocks take.
        out_channels: Channels C of every block and of the result.
        dilations: Of the blocks.
    """

    def __init__(
        self,
        in_channels: int,
        context_channels: int,
        out_channels: int,
        dilations: Sequence[int] = (3, 6, 12, 18, 24),
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([AtrousBlock(in_channels, out_channels, dilations[0], first_norm=False)])
        for index, dilation in enumerate(dilations[1:], start=1):
            self.blocks.append(AtrousBlock(context_channels + index * out_channels, out_channels, dilation))
        width = in_channels + len(dilations) * out_channels
        self.fuse = nn.Sequential(nn.Conv2d(width, out_channels, 3, padding=1, bias=False), nn.ELU())

    def forward(self, feat: Tensor, context: Tensor) -> Tensor:
        """Map ``feat`` and ``context``, both (N, *, h, w), to (N, C, h, w)."""
        first, *others = self.blocks
        results = [first(feat)]
        for block in others:
            results.append(block(torch.cat([context, *results], dim=1)))
        return self.fuse(torch.cat([feat, *results], dim=1))
