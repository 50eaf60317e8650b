"""Pyramid pooling neck.

Reference: Pyramid Scene Parsing Network, https://arxiv.org/abs/1612.01105
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.export_mode import average_matrix, is_exporting
from depth.registry import MODELS


@MODELS.register_module()
class PyramidPoolingNeck(BaseModule):
    """Pyramid pooling: append a map with context of the whole image, as large as the coarsest.

    Args:
        in_channels: Channels of the feature levels, finest first.
        channels: Channels of the appended map and of each branch.
        pool_scales: Rows and columns to which each branch averages the coarsest level.
        num_groups: Groups of the GroupNorms; divides ``channels``.

    Attributes:
        out_channels: Channels of the output maps, the appended one last.

    Raises:
        ValueError: If ``num_groups`` does not divide ``channels``.

    Reference: Pyramid Scene Parsing Network, https://arxiv.org/abs/1612.01105
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 512,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        num_groups: int = 256,
    ) -> None:
        super().__init__()
        if channels % num_groups:
            raise ValueError(
                f'PyramidPoolingNeck: num_groups {num_groups} does not divide channels {channels}'
            )
        self.in_channels = list(in_channels)
        self.out_channels = [*in_channels, channels]
        # Published code means the GroupNorm for the 1x1 branch, where a BatchNorm cannot train on
        # one image, but its assignment leaks into the branches that follow; the weights expect it.
        norm_cfg = dict(type='GN', num_groups=num_groups)
        self.psp_modules = nn.ModuleList()
        for scale in pool_scales:
            conv = ConvModule(in_channels[-1], channels, 1, norm_cfg=norm_cfg)
            self.psp_modules.append(nn.Sequential(nn.AdaptiveAvgPool2d(scale), conv))
        self.bottleneck = ConvModule(
            in_channels[-1] + len(pool_scales) * channels, channels, 3, padding=1
        )

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Map features (N, C, h, w), finest first, to the same features and the pooled one."""
        coarsest = feats[-1]
        maps = [coarsest]
        for branch in self.psp_modules:
            if is_exporting():
                pooled = branch[1](pool_by_matrices(coarsest, branch[0].output_size))
            else:
                pooled = branch(coarsest)  # (N, channels, scale, scale)
            maps.append(
                F.interpolate(
                    pooled, size=coarsest.shape[-2:], mode='bilinear', align_corners=False
                )
            )
        return [*feats, self.bottleneck(torch.cat(maps, dim=1))]


def pool_by_matrices(feat: Tensor, scale: int) -> Tensor:
    """Average (N, C, h, w) to (N, C, scale, scale) by matrix products, h and w may be symbols."""
    rows, columns = (average_matrix(length, scale) for length in feat.shape[-2:])
    return torch.einsum('ih,jw,nchw->ncij', rows, columns, feat)
