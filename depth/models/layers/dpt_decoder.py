"""DPT decoder without norms: a pyramid of four transformer blocks, fused coarse to fine.

This is the form of Depth Anything and MiDaS 3.1; all convolutions but those that reduce the
channels have a bias. :class:`~depth.models.heads.DPTHead` holds the form of the earlier published
DPT, whose fusion has none.

Reference: Vision Transformers for Dense Prediction, https://arxiv.org/abs/2103.13413
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from .prompt_fusion import DepthPrompt

NUM_LEVELS = 4


class DPTPyramid(nn.Module):
    """Pyramid from the maps of four blocks, which all lie on one grid of patches.

    Args:
        in_channels: Channels E of every map.
        out_channels: Channels of the four levels, finest first.

    Raises:
        ValueError: If there are not four levels.
    """

    def __init__(self, in_channels: int, out_channels: Sequence[int]) -> None:
        super().__init__()
        if len(out_channels) != NUM_LEVELS:
            raise ValueError(
                f'a DPT pyramid has {NUM_LEVELS} levels, got channels {list(out_channels)}'
            )
        first, second, _, last = out_channels
        self.projects = nn.ModuleList(
            nn.Conv2d(in_channels, channels, kernel_size=1) for channels in out_channels
        )
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, kernel_size=4, stride=4),
                nn.ConvTranspose2d(second, second, kernel_size=2, stride=2),
                nn.Identity(),
                nn.Conv2d(last, last, kernel_size=3, stride=2, padding=1),
            ]
        )

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Map four (N, E, h, w) to levels of (4 h, 4 w), (2 h, 2 w), (h, w), (ceil(h / 2), ...)."""
        levels = []
        for project, resize, feat in zip(self.projects, self.resize_layers, feats, strict=True):
            levels.append(resize(project(feat)))
        return levels


class DPTFusion(nn.Module):
    """Fusion of four levels: reduce all to one width, then add and refine from coarse to fine.

    Args:
        in_channels: Channels of the levels, finest first.
        channels: Channels F of the fusion.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(
            nn.Conv2d(width, channels, kernel_size=3, padding=1, bias=False)
            for width in in_channels
        )
        # The coarsest block comes first and has no skip connection.
        self.blocks = nn.ModuleList(
            DPTFusionBlock(channels, with_skip=index > 0) for index in range(len(in_channels))
        )

    def forward(self, levels: Sequence[Tensor], prompt: DepthPrompt | None = None) -> Tensor:
        """Map levels (N, C_i, h_i, w_i), finest first, to (N, F, 2 h_0, 2 w_0).

        A prompt is added to the refined features of each block.
        """
        return self.fuse(self.reduce_channels(levels), prompt)[-1]

    def reduce_channels(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Map levels (N, C_i, h_i, w_i) to (N, F, h_i, w_i)."""
        return [conv(level) for conv, level in zip(self.reduce, levels, strict=True)]

    def fuse(self, levels: Sequence[Tensor], prompt: DepthPrompt | None = None) -> list[Tensor]:
        """Return the output of every fusion block, coarsest first.

        Args:
            levels: Result of :meth:`reduce_channels`, finest first.
            prompt: Sparse depth, added to the refined features of each block.

        Returns:
            Maps (N, F, h, w), each of the size of the next finer level; the last is twice as large
            as the finest level.
        """
        skips = list(reversed(levels))
        outputs = []
        feat = skips[0]
        for index, block in enumerate(self.blocks):
            # Not twice the size: at odd grids the next finer level is smaller.
            if index + 1 < len(skips):
                size = skips[index + 1].shape[-2:]
            else:
                size = [2 * length for length in skips[index].shape[-2:]]
            add_prompt = None if prompt is None else partial(prompt.add_to, index)
            feat = block(feat, skips[index] if index else None, size, add_prompt)
            outputs.append(feat)
        return outputs


class DPTFusionBlock(nn.Module):
    """Fusion block: add the refined skip connection, refine the sum, resize it and project it.

    Args:
        channels: Channels F.
        with_skip: Whether there is a skip connection.
    """

    def __init__(self, channels: int, with_skip: bool = True) -> None:
        super().__init__()
        if with_skip:
            self.skip_unit = DPTResidualUnit(channels)
        self.unit = DPTResidualUnit(channels)
        self.project = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(
        self,
        feat: Tensor,
        skip: Tensor | None,
        size: Sequence[int],
        add_prompt: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Fuse maps (N, F, h, w) of one size and resize the result to ``size`` (height, width).

        ``add_prompt`` changes the refined features in between.
        """
        if skip is not None:
            feat = feat + self.skip_unit(skip)
        feat = self.unit(feat)
        if add_prompt is not None:
            feat = add_prompt(feat)
        return self.project(resize_corners(feat, size))


class DPTResidualUnit(nn.Module):
    """Residual unit: twice ReLU and 3x3 convolution, plus the input.

    Args:
        channels: Channels F of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, F, h, w) to the same shape."""
        return feat + self.conv2(F.relu(self.conv1(F.relu(feat))))


def resize_corners(values: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, C, h, w) bilinearly to ``size``, with ``align_corners=True`` as published."""
    return F.interpolate(values, size=tuple(size), mode='bilinear', align_corners=True)
