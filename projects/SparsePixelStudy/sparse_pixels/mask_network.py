"""Mask network: predicts which pixels of an image a depth model may see."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _block(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution with batch norm and ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class MaskNetwork(nn.Module):
    """Small encoder-decoder that maps an image to a visibility mask.

    Args:
        channels: Width C at full resolution; doubled at each of three halvings.

    Reference: Visualization of Convolutional Neural Networks for Monocular Depth Estimation, J. Hu
    et al. 2019, https://arxiv.org/abs/1904.03380
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(4)]
        self.stem = _block(3, widths[0])
        self.downs = nn.ModuleList(
            _block(before, after, stride=2) for before, after in pairwise(widths)
        )
        self.ups = nn.ModuleList(
            _block(before + after, after) for before, after in pairwise(reversed(widths))
        )
        self.logit = nn.Conv2d(channels, 1, 3, padding=1)
        # At the start sigmoid(2) = 0.88 of every pixel is visible; the sparsity term then hides the
        # pixels that the depth model does not need.
        nn.init.zeros_(self.logit.weight)
        nn.init.constant_(self.logit.bias, 2.0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map a normalised image (N, 3, H, W) to a mask (N, 1, H, W) between 0 and 1."""
        levels = [self.stem(inputs)]
        for down in self.downs:
            levels.append(down(levels[-1]))
        feat = levels.pop()
        for up in self.ups:
            skip = levels.pop()
            feat = F.interpolate(feat, size=skip.shape[-2:], mode='bilinear', align_corners=False)
            feat = up(torch.cat([feat, skip], dim=1))
        return self.logit(feat).sigmoid()


def show_pixels(inputs: Tensor, mask: Tensor) -> Tensor:
    """Hide pixels of a normalised image (N, 3, H, W) by a mask (N, 1, H, W) between 0 and 1."""
    # 0 in a normalised image is the mean colour of the data set.
    return inputs * mask
