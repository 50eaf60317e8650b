"""Light head: the sum of projected transformer maps, upsampled by a few convolutions.

Our own baseline for training from frozen features. It has 0.3 M parameters on maps of 384 channels
and 0.6 M on 1024, where a DPT decoder has 2.7 and 29.8 M.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from depth.models.layers import cut_patch_padding
from depth.registry import MODELS
from depth.structures import DepthDataSample

from .regression_head import RegressionHead


@MODELS.register_module()
class LightDepthHead(RegressionHead):
    """Sum of 1x1 projections of all maps, then two doublings with 3x3 convolutions, then depth.

    Args:
        in_channels: Channels of the maps, which lie on one grid of patches.
        channels: Channels of the sum; divisible by 4, halved at each doubling.
        patch_size: Pixels of the image a patch.
        scale_up: See :class:`RegressionHead`; True by default, so that no pixel starts without a
            gradient.
        align_corners: Convention of every resize.
        **kwargs: Depth range and ``loss_decode``, see :class:`RegressionHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 128,
        patch_size: int = 16,
        *,
        scale_up: bool = True,
        align_corners: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(channels // 4, scale_up=scale_up, align_corners=align_corners, **kwargs)
        self.in_channels = list(in_channels)
        self.patch_size = patch_size
        self.projects = nn.ModuleList(
            nn.Conv2d(width, channels, kernel_size=1) for width in in_channels
        )
        self.up_convs = nn.ModuleList(
            nn.Conv2d(channels // factor, channels // (2 * factor), kernel_size=3, padding=1)
            for factor in (1, 2)
        )

    def forward(
        self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Map maps (N, E_i, h, w) to ``depth`` (N, 1, p h, p w) in metres, p the patch size."""
        grid = feats[0].shape[-2:]
        feat = sum(project(level) for project, level in zip(self.projects, feats, strict=True))
        for conv in self.up_convs:
            size = [2 * length for length in feat.shape[-2:]]
            feat = F.relu(conv(super().resize(F.relu(feat), size)))
        depth = self.regress(feat)
        return dict(depth=super().resize(depth, [self.patch_size * length for length in grid]))

    def resize(self, depth: Tensor, size: Sequence[int]) -> Tensor:
        """Resize depth (N, 1, h, w) to ``size`` (H, W); that of padding to patches is cut."""
        return super().resize(cut_patch_padding(depth, size, self.patch_size), size)
