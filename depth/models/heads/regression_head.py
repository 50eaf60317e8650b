"""Base class of heads that regress depth: a last convolution, then ReLU or sigmoid."""

import math

import torch
from torch import Tensor, nn

from .base_depth_head import BaseDepthHead


class RegressionHead(BaseDepthHead):
    """Base class of heads that regress depth directly.

    Args:
        channels: Input channels C of the last convolution.
        scale_up: Depth is ``sigmoid(x) * max_depth`` instead of ``relu(x) + min_depth``. A sigmoid
            always has a gradient where a ReLU may be zero for every pixel, but it saturates at the
            far end. One of DepthFormer's remedies for runs that do not start.
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
        """Map the last features (N, C, h, w) to depth (N, 1, h, w) in metres.

        The result is not clamped to ``max_depth``.
        """
        # Under AMP, metres are resized and compared in float32.
        output = self.conv_depth(feat).float()
        if self.scale_up:
            return output.sigmoid() * self.max_depth
        return output.relu() + self.min_depth

    @torch.no_grad()
    def init_depth_bias(self, depth: float) -> None:
        """Initialise the last convolution so that the head predicts about ``depth`` metres.

        A ReLU output is then positive, and trained, at every pixel. Neither the network nor its
        parameter names change.

        Raises:
            ValueError: If ``depth`` is outside the depth range.
        """
        if not self.min_depth < depth < self.max_depth:
            raise ValueError(
                f'{type(self).__name__}: an initial depth of {depth} m is outside '
                f'the depth range {self.min_depth} to {self.max_depth} m'
            )
        if self.scale_up:
            fraction = depth / self.max_depth
            bias = math.log(fraction / (1 - fraction))  # inverse of the sigmoid
        else:
            bias = depth - self.min_depth
        self.last_conv.bias.fill_(bias)
        # Features without a norm could push the output below zero in spite of the bias.
        self.last_conv.weight.mul_(0.01)
