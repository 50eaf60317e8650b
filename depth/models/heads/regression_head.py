"""Depth by regression: a last convolution and a ReLU or a sigmoid."""

import math

import torch
from torch import Tensor, nn

from .base_depth_head import BaseDepthHead


class RegressionHead(BaseDepthHead):
    """Base of heads that regress depth directly.

    Args:
        channels: Channels C in front of the last convolution.
        scale_up: Depth is ``sigmoid(x) * max_depth`` rather than ``relu(x) + min_depth``; it cannot die, but the far
            end saturates. One of DepthFormer's remedies for runs that do not start.
        **kwargs: Depth range, ``align_corners`` and ``loss_decode``, see :class:`BaseDepthHead`.
    """

    def __init__(self, channels: int, *, scale_up: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.scale_up = scale_up
        self.conv_depth = nn.Conv2d(channels, 1, kernel_size=3, padding=1)

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution whose output becomes depth."""
        return self.conv_depth

    def regress(self, feat: Tensor) -> Tensor:
        """Map the last features (N, C, h, w) to depth (N, 1, h, w) in metres; not clamped to ``max_depth``."""
        output = self.conv_depth(feat).float()  # under AMP, metres are resized and compared in float32
        if self.scale_up:
            return output.sigmoid() * self.max_depth
        return output.relu() + self.min_depth

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
