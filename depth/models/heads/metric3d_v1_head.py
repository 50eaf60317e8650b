"""Metric3D v1 head: canonical depth from log-spaced bins and a residual at full size.

Reference: Metric3D, https://arxiv.org/abs/2307.10984
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.canonical_camera import CanonicalCamera
from ..losses.metric3d_loss import random_rectangles, region_loss, virtual_normal_loss
from .base_depth_head import BaseDepthHead

HOURGLASS_CHANNELS = (128, 64, 32, 16)
FEATURE_CHANNELS = 256
NUM_BINS = 512
RESIDUAL_CHANNELS = 16
RESIDUAL_SCALE = 0.1
UPSAMPLING = 4


class UpBlock(nn.Module):
    """Reduce a coarse map, double it, concatenate the finer level and mix, with ELUs.

    Args:
        in_channels: Channels of the coarse map.
        skip_channels: Channels of the finer level.
        out_channels: Channels of the output.
        kernel_size: Size of the reducing and the mixing convolution; 3 pads by reflection.
    """

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, kernel_size: int
    ) -> None:
        super().__init__()
        conv = dict(
            kernel_size=kernel_size,
            padding=kernel_size // 2,
            padding_mode='reflect',
            act_cfg=dict(type='ELU'),
        )
        self.reduce = ConvModule(in_channels, out_channels, **conv)
        self.mix = ConvModule(out_channels + skip_channels, out_channels, **conv)
        self.project = ConvModule(out_channels, out_channels, 1, act_cfg=dict(type='ELU'))

    def forward(self, feat: Tensor, skip: Tensor) -> Tensor:
        """Map (N, C, h, w) and (N, C_skip, 2 h, 2 w) to (N, C_out, 2 h, 2 w)."""
        feat = F.interpolate(self.reduce(feat), size=skip.shape[-2:], mode='nearest')
        return self.project(self.mix(torch.cat([feat, skip], dim=1)))


class Hourglass(nn.Module):
    """Small U-Net of convolutions with BatchNorm, whose skip connections are added.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        first = HOURGLASS_CHANNELS[0]
        norm = dict(norm_cfg=dict(type='BN'))
        self.stem = ConvModule(in_channels, first, 3, padding=1, **norm)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for wide, narrow in pairwise(HOURGLASS_CHANNELS):
            down = [
                ConvModule(wide, narrow, 3, stride=2, padding=1, **norm),
                ConvModule(narrow, narrow, 3, padding=1, **norm),
            ]
            self.downs.append(nn.Sequential(*down))
            up = nn.ConvTranspose2d(
                narrow, wide, kernel_size=3, stride=2, padding=1, output_padding=1, bias=False
            )
            self.ups.append(nn.Sequential(up, nn.BatchNorm2d(wide), nn.ReLU()))
        self.project = nn.Conv2d(first, out_channels, kernel_size=1)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w), sides multiples of 8, to (N, C_out, h, w)."""
        levels = [self.stem(feat)]
        for down in self.downs:
            levels.append(down(levels[-1]))
        feat = levels[-1]
        for skip, up in zip(reversed(levels[:-1]), reversed(self.ups), strict=True):
            feat = skip + up(feat)
        return self.project(feat)


@MODELS.register_module()
class Metric3DV1Head(BaseDepthHead):
    """Metric3D v1 head: canonical depth from four levels of a convolutional backbone.

    Depth in metres is ``canonical depth * f / canonical_focal`` with the focal length f of the
    network's input. The numbers of row and column are inputs, so that the same window of an image
    gets another depth at another place; the published network has it so.

    Args:
        in_channels: Channels of the levels at strides 4, 8, 16 and 32.
        up_channels: Channels of the decoder at strides 4, 8 and 16.
        canonical_focal: Focal length of the canonical camera, in pixels.
        canonical_range: Nearest and farthest bin, in canonical metres.
        default_intrinsics: K (3, 3) of the network's input, in pixels, for images without a camera
            in eval mode.
        loss_decode: Loss on canonical depth.
        virtual_normal_weight: Factor of the virtual normal loss.
        rectangle_weight: Factor of the normalised loss on random rectangles.
        num_rectangles: Number of random rectangles an image.
        sample_ratio: Share of the pixels that are drawn as corners of virtual triangles.
        min_depth: Near end of predicted depth, in metres.
        max_depth: Far end of predicted depth, in metres; beyond it nothing is labelled either.

    Raises:
        ValueError: If there are not four levels, or a range is empty.

    Reference: Metric3D, https://arxiv.org/abs/2307.10984
    """

    SIZE_DIVISOR = 32
    canonical_conflict = 'it has a canonical camera of its own'
    map_names = ('confidence',)

    def __init__(
        self,
        in_channels: Sequence[int] = (96, 192, 384, 768),
        up_channels: Sequence[int] = (64, 128, 256),
        *,
        canonical_focal: float = 1000.0,
        canonical_range: Sequence[float] = (0.3, 150.0),
        default_intrinsics: Sequence[Sequence[float]] | None = None,
        loss_decode: dict | None = None,
        virtual_normal_weight: float = 1.0,
        rectangle_weight: float = 1.0,
        num_rectangles: int = 32,
        sample_ratio: float = 0.15,
        min_depth: float = 1e-3,
        max_depth: float = 300.0,
    ) -> None:
        super().__init__(
            min_depth=min_depth, max_depth=max_depth, align_corners=False, loss_decode=loss_decode
        )
        if len(in_channels) != 4:
            raise ValueError(f'Metric3DV1Head: in_channels are four levels, got {in_channels}')
        near, far = canonical_range
        if not 0 < near < far:
            raise ValueError(
                f'Metric3DV1Head: canonical_range is empty or touches zero: {near}, {far}'
            )
        self.in_channels = list(in_channels)
        self.near, self.far = float(near), float(far)
        self.camera = CanonicalCamera(canonical_focal, default_intrinsics, (min_depth, max_depth))
        self.virtual_normal_weight = virtual_normal_weight
        self.rectangle_weight, self.num_rectangles = rectangle_weight, num_rectangles
        self.sample_ratio = sample_ratio
        fine, middle, coarse = up_channels
        self.up16 = UpBlock(in_channels[3], in_channels[2], coarse, kernel_size=1)
        self.up8 = UpBlock(coarse, in_channels[1], middle, kernel_size=3)
        self.up4 = UpBlock(middle, in_channels[0], fine, kernel_size=3)
        self.hourglass = Hourglass(fine, FEATURE_CHANNELS + 1)  # the last channel is confidence
        self.bin_logits = nn.Sequential(
            nn.Conv2d(FEATURE_CHANNELS, NUM_BINS, kernel_size=3, padding=1),
            nn.BatchNorm2d(NUM_BINS),
            nn.ReLU(),
            nn.Conv2d(NUM_BINS, NUM_BINS, kernel_size=1),
        )
        width = RESIDUAL_CHANNELS
        self.residual = nn.Sequential(
            nn.Conv2d(3 + FEATURE_CHANNELS, width, kernel_size=3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.Upsample(scale_factor=UPSAMPLING),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 1, kernel_size=1),
        )
        bins = torch.linspace(math.log(self.near), math.log(self.far), NUM_BINS).exp()
        self.register_buffer('bin_centers', bins.view(1, NUM_BINS, 1, 1), persistent=False)

    def forward(
        self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Map four levels (N, C, h, w), finest first, to depth at the image's size (4 h, 4 w).

        Returns:
            ``depth`` (N, 1) in metres, or canonical for bare tensors without
            ``default_intrinsics``; ``canonical_depth`` (N, 1); ``confidence`` (N, 1), raw.

        Raises:
            ValueError: If an image has no camera.
        """
        fine, middle, coarse, coarsest = feats
        feat = self.up4(self.up8(self.up16(coarsest, coarse), middle), fine)
        feat, confidence = self.hourglass(feat).split([FEATURE_CHANNELS, 1], dim=1)
        probs = self.bin_logits(feat).float().softmax(dim=1)
        depth = (probs * self.bin_centers).sum(dim=1, keepdim=True)
        count, _, height, width = depth.shape
        # Counted in pixels of the feature map, not scaled to [0, 1]: the published weights expect
        # it.
        columns = torch.arange(width, device=depth.device, dtype=depth.dtype)
        rows = torch.arange(height, device=depth.device, dtype=depth.dtype)
        columns = columns.expand(count, 1, height, width)
        rows = rows.unsqueeze(1).expand(count, 1, height, width)
        residual = self.residual(torch.cat([depth, columns, rows, feat], dim=1)).float()
        canonical = _enlarge(depth) + RESIDUAL_SCALE * residual
        return dict(
            depth=self.camera.to_metric(canonical, data_samples, self.training),
            canonical_depth=canonical,
            confidence=_enlarge(confidence.float()),
        )

    def further_maps(self, outputs: dict[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Return ``confidence`` (N, 1, H, W), cut to ``size``."""
        height, width = size
        return dict(confidence=outputs['confidence'][..., :height, :width])

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of the paper: ``loss_decode``, virtual normals, random rectangles.

        Its fourth, on planes, needs segmented planes and is not here.

        Args:
            outputs: Result of :meth:`forward`, at least as large as ``gt_depth``.
            gt_depth: (N, 1, H, W) in metres, 0 = no ground truth.
            data_samples: One per image, with ``intrinsics``.

        Raises:
            ValueError: If a sample has no ``intrinsics``.
        """
        height, width = gt_depth.shape[-2:]
        # The residual has no lower bound; logarithms need positive depth.
        depth = outputs['canonical_depth'][..., :height, :width].clamp(min=self.near)
        intrinsics = self.camera.intrinsics(data_samples, gt_depth, self.training)
        target = self.camera.to_canonical(gt_depth, intrinsics)
        mask = (gt_depth > 0) & (gt_depth <= self.max_depth)
        # No expectation over the bins reaches canonical depth outside of their range.
        mask = mask & (target >= self.near) & (target <= self.far)
        terms = self.decode_losses(depth, target, mask)
        losses = {f'loss_{name}': value for name, value in terms.items()}
        if self.virtual_normal_weight:
            value = virtual_normal_loss(depth, target, mask, intrinsics, self.sample_ratio)
            losses['loss_virtual_normal'] = self.virtual_normal_weight * value
        if self.rectangle_weight:
            regions = random_rectangles(mask, self.num_rectangles)
            value = region_loss(depth, target, regions)
            losses['loss_rectangle'] = self.rectangle_weight * value
        return losses


def _enlarge(maps: Tensor) -> Tensor:
    """Repeat every pixel of (N, C, h, w) four times in both directions."""
    return F.interpolate(maps, scale_factor=UPSAMPLING, mode='nearest')
