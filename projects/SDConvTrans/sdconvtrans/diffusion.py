"""Boundary diffusion of SD-ConvTrans, and the semantic guidance of the paper."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.export_mode import has_size


class BoundaryDiffusion(nn.Module):
    """Diffuse high-resolution features along boundaries that the guidance confirms.

    One 3x3 convolution W is used on features U, guidance V and their product: ``W(UV) - W(U)V -
    UW(V) + s(UV)`` with s the 1x1 convolution of the summed kernel. With one channel that is, at
    each pixel, the sum of ``w * (u' - u) * (v' - v)`` over its neighbours: differences of U count
    where V differs, too. The published code draws W anew in every forward pass; here it is a
    parameter like any other.

    Args:
        channels: Channels C of both inputs.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_difference = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.fuse = nn.Conv2d(2 * channels, 2 * channels, kernel_size=1)
        self.norm = nn.BatchNorm2d(2 * channels)

    def forward(self, feat: Tensor, guidance: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C, h, w) and guidance (N, C, H, W) to features (N, 2C, h, w).

        Also returns the guided differences (N, C, h, w).
        """
        if not has_size(guidance, feat.shape[-2:]):
            guidance = F.interpolate(
                guidance,
                size=feat.shape[-2:],
                mode='bilinear',
                align_corners=True,
            )
        differences = self.guided_differences(feat, guidance)
        return self.norm(self.fuse(torch.cat([feat, differences], dim=1))).relu(), differences

    def guided_differences(self, feat: Tensor, guidance: Tensor) -> Tensor:
        """Return sums over neighbours of weight times both differences, (N, C, h, w)."""
        # Expanded product of differences, four convolutions instead of one per neighbour.
        product = feat * guidance
        total = self.conv_difference.weight.sum(dim=(2, 3), keepdim=True)
        return (
            self.conv_difference(product)
            - self.conv_difference(feat) * guidance
            - feat * self.conv_difference(guidance)
            + F.conv2d(product, total)
        )


class SemanticGuidance(nn.Module):
    """Guidance from all levels of the transformer, as the paper describes it; the published code has none.

    Each level is embedded by a 1x1 convolution and brought to the finest size; a 1x1 convolution
    with norm mixes them (SegFormer's all-MLP head, https://arxiv.org/abs/2105.15203).

    Args:
        in_channels: Channels of the levels, finest first.
        channels: Channels C of the guidance.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.embeds = nn.ModuleList(
            nn.Conv2d(width, channels, kernel_size=1) for width in in_channels
        )
        self.fuse = nn.Conv2d(channels * len(in_channels), channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Map levels (N, C_i, h_i, w_i), finest first, to (N, C, h, w) at the finest size."""
        size = levels[0].shape[-2:]
        maps = []
        for embed, level in zip(self.embeds, levels, strict=True):
            feat = embed(level)
            feat = F.interpolate(feat, size=size, mode='bilinear', align_corners=False)
            maps.append(feat)
        return self.norm(self.fuse(torch.cat(maps, dim=1))).relu()
