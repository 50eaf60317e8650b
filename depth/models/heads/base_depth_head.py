"""What depth heads share: the range, the last convolution and the loss."""

import math
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample


class BaseDepthHead(BaseModule, metaclass=ABCMeta):
    """Base of regression heads.

    Args:
        channels: Channels C in front of the last convolution.
        min_depth: Near end of the depth range, in metres.
        max_depth: Far end of the depth range, in metres.
        align_corners: Convention of every bilinear resize of depth and features.
        scale_up: Depth is ``sigmoid(x) * max_depth`` rather than ``relu(x) + min_depth``; it cannot die, but the far
            end saturates. One of DepthFormer's remedies for runs that do not start.
        loss_decode: Config of the loss on depth.

    Raises:
        ValueError: If the depth range is empty or touches zero.
    """

    def __init__(
        self,
        channels: int,
        *,
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        align_corners: bool = True,
        scale_up: bool = False,
        loss_decode: dict | None = None,
    ) -> None:
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ValueError(f'{type(self).__name__}: need 0 < min_depth < max_depth, got {min_depth} and {max_depth}')
        self.min_depth, self.max_depth = float(min_depth), float(max_depth)
        self.align_corners = align_corners
        self.scale_up = scale_up
        self.conv_depth = nn.Conv2d(channels, 1, kernel_size=3, padding=1)
        self.loss_decode = MODELS.build(loss_decode or dict(type='SILogLoss'))

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution whose output becomes depth."""
        return self.conv_depth

    @abstractmethod
    def forward(self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None) -> dict[str, Tensor]:
        """Map features (N, C, h, w), finest first, to a dict with ``depth`` (N, 1, h, w) in metres."""

    def regress(self, feat: Tensor) -> Tensor:
        """Map the last features (N, C, h, w) to depth (N, 1, h, w) in metres; not clamped to ``max_depth``."""
        output = self.conv_depth(feat).float()  # under AMP, metres are resized and compared in float32
        if self.scale_up:
            return output.sigmoid() * self.max_depth
        return output.relu() + self.min_depth

    def loss(
        self, outputs: dict[str, Tensor], gt_depth: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return the losses of what :meth:`forward` gave against ``gt_depth`` (N, 1, H, W), metres, 0 = none."""
        depth = self.resize(outputs['depth'], gt_depth.shape[-2:])
        return dict(loss_depth=self.loss_decode(depth, gt_depth, gt_depth > 0))

    def resize(self, depth: Tensor, size: Sequence[int]) -> Tensor:
        """Resize depth (N, 1, h, w) bilinearly to ``size`` (H, W)."""
        if tuple(depth.shape[-2:]) == tuple(size):
            return depth
        return F.interpolate(depth, size=tuple(size), mode='bilinear', align_corners=self.align_corners)

    @torch.no_grad()
    def init_depth_bias(self, depth: float) -> None:
        """Start the head at a constant ``depth`` in metres, so that its ReLU is alive everywhere.

        The last weights become small too: features without a norm could otherwise push the output below zero
        in spite of the bias. Neither the network nor its parameter names change.

        Raises:
            ValueError: If ``depth`` is outside the depth range.
        """
        if not self.min_depth < depth < self.max_depth:
            raise ValueError(
                f'{type(self).__name__}: an initial depth of {depth} m is outside '
                f'the depth range {self.min_depth} to {self.max_depth} m'
            )
        share = depth / self.max_depth
        bias = math.log(share / (1 - share)) if self.scale_up else depth - self.min_depth
        self.last_conv.bias.fill_(bias)
        self.last_conv.weight.mul_(0.01)
