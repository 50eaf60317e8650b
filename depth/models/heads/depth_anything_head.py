"""Heads of Depth Anything V2: a DPT decoder on normed transformer maps, relative or metric.

The same decoder on another encoder (DINOv3) is our baseline for metric depth.

Reference: Depth Anything V2, https://arxiv.org/abs/2406.09414. Published code: Apache-2.0.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth.models.layers import (
    DepthPrompt,
    DPTFusion,
    DPTPyramid,
    build_prompt,
    cut_patch_padding,
    resize_corners,
)
from depth.registry import MODELS
from depth.structures import DepthDataSample

from .base_depth_head import BaseDepthHead

OUTPUT_CHANNELS = 32


class DepthAnythingDecoder(BaseDepthHead):
    """Base class: DPT pyramid and fusion of four maps, upsampled to the size of the image.

    Args:
        in_channels: Channels E of the four maps, all the same; they lie on one grid of patches, as
            ``ViTBackbone`` gives them.
        post_process_channels: Channels of the four pyramid levels, finest first.
        channels: Channels F of the fusion; even.
        patch_size: Pixels of the image a patch, the factor of the last upsampling.
        align_corners: Convention of the resize of depth to other sizes; as published True.
        prompt: Config of the layers that take sparse depth, ``dict(type='PromptFusion')``; None for
            none. For heads of metric depth.
        **kwargs: Depth range and ``loss_decode``, see :class:`BaseDepthHead`.

    Raises:
        ValueError: If the maps have different channels or there are not four of them.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        post_process_channels: Sequence[int],
        channels: int,
        patch_size: int = 14,
        align_corners: bool = True,
        prompt: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(align_corners=align_corners, **kwargs)
        if len(in_channels) != 4 or len(set(in_channels)) != 1:
            raise ValueError(
                f'{type(self).__name__}: in_channels is the same width four times, got '
                f'{list(in_channels)}'
            )
        self.in_channels = list(in_channels)
        self.patch_size = patch_size
        self.pyramid = DPTPyramid(in_channels[0], post_process_channels)
        self.fusion = DPTFusion(post_process_channels, channels)
        self.conv = nn.Conv2d(channels, channels // 2, kernel_size=3, padding=1)
        self.output = output_layers(channels // 2)
        self.prompt_fusion = build_prompt(self, prompt, channels, channels // 2)

    def encode_prompt(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DepthDataSample] | None,
        images: Tensor | None,
    ) -> DepthPrompt | None:
        """Return the sparse depth of a batch, None without any."""
        if self.prompt_fusion is None:
            return None
        return self.prompt_fusion.encode(data_samples, feats[0], self.patch_size, images)

    def decode(self, feats: Sequence[Tensor], prompt: DepthPrompt | None = None) -> Tensor:
        """Map four maps (N, E, h, w) to (N, F / 2, p h, p w), p the patch size."""
        grid = feats[0].shape[-2:]
        # The fusion ends at (8 h, 8 w) for any patch size.
        fused = self.conv(self.fusion(self.pyramid(feats), prompt))
        return resize_corners(fused, [self.patch_size * length for length in grid])

    def resize(self, depth: Tensor, size: Sequence[int]) -> Tensor:
        """Resize depth (N, 1, h, w) to ``size`` (H, W).

        The backbone pads an image to whole patches at the right and bottom; depth of that padding
        is cut off, not squeezed into the image.
        """
        return super().resize(cut_patch_padding(depth, size, self.patch_size), size)


def output_layers(in_channels: int) -> nn.Sequential:
    """Return the last layers: 3x3 convolution, ReLU, 1x1 convolution to one channel."""
    return nn.Sequential(
        nn.Conv2d(in_channels, OUTPUT_CHANNELS, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(OUTPUT_CHANNELS, 1, kernel_size=1),
    )


@MODELS.register_module()
class DepthAnythingMetricHead(DepthAnythingDecoder):
    """Metric depth: sigmoid times the far end of the depth range.

    Args:
        **kwargs: See :class:`DepthAnythingDecoder`. ``max_depth`` is part of the model: the
            published weights were trained with 20 m (Hypersim) and 80 m (Virtual KITTI 2).

    Reference: Depth Anything V2, https://arxiv.org/abs/2406.09414
    """

    def forward(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DepthDataSample] | None = None,
        images: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Map four maps (N, E, h, w) to ``depth`` (N, 1, p h, p w) in metres.

        ``images`` (N, 3, H, W) are for a prompt with a guide.
        """
        prompt = self.encode_prompt(feats, data_samples, images)
        feat = self.decode(feats, prompt)
        # Under AMP, metres are compared in float32.
        depth = self.output(feat).float().sigmoid() * self.max_depth
        if prompt is not None:
            depth = prompt.correct(depth, feat)
        return dict(depth=depth)

    @torch.no_grad()
    def init_depth_bias(self, depth: float) -> None:
        """Initialise the last convolution so that the head predicts about ``depth`` metres.

        Raises:
            ValueError: If ``depth`` is outside the depth range.
        """
        if not self.min_depth < depth < self.max_depth:
            raise ValueError(
                f'{type(self).__name__}: an initial depth of {depth} m is outside '
                f'the depth range {self.min_depth} to {self.max_depth} m'
            )
        fraction = depth / self.max_depth
        self.output[-1].bias.fill_(math.log(fraction / (1 - fraction)))
        self.output[-1].weight.mul_(0.01)


@MODELS.register_module()
class DepthAnythingRelativeHead(DepthAnythingDecoder):
    """Inverse depth up to a factor and an offset: not negative, larger is nearer.

    ``loss_decode`` compares it with inverse ground truth in 1/m and has to be invariant to factor
    and offset. A depth range has no meaning for the output.

    Args:
        **kwargs: See :class:`DepthAnythingDecoder`.

    Reference: Depth Anything V2, https://arxiv.org/abs/2406.09414
    """

    prediction_type = 'affine_invariant_disparity'

    def forward(
        self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Map four maps (N, E, h, w) to relative inverse depth ``depth`` (N, 1, p h, p w)."""
        return dict(depth=self.output(self.decode(feats)).float().relu())

    @torch.no_grad()
    def init_depth_bias(self, depth: float) -> None:
        """Initialise the last convolution so that the head predicts about 1 / ``depth``.

        The ReLU behind it is then positive, and trained, at most pixels.
        """
        self.output[-1].bias.fill_(1 / depth)

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of relative inverse depth against the inverse of ``gt_depth``."""
        mask = gt_depth > 0
        # 1 in place of a missing depth: an infinite inverse would reach the loss through the mask.
        target = torch.where(mask, gt_depth, 1).reciprocal()
        pred = self.resize(outputs['depth'], gt_depth.shape[-2:])
        losses = self.decode_losses(pred, torch.where(mask, target, 0), mask)
        return {f'loss_{name}': value for name, value in losses.items()}

    def clamp(self, depth: Tensor) -> Tensor:
        """Return relative inverse depth as it is."""
        return depth
