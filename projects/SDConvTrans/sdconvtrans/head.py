"""SD-ConvTrans head: base depth from the low-resolution view, detailed depth from the high one."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.device_constants import device_constant
from depth.models.heads import RegressionHead
from depth.registry import MODELS
from depth.structures import DepthDataSample

from .base_depth import downsample_valid, smooth_base_depth
from .diffusion import BoundaryDiffusion, SemanticGuidance

LOSSES = dict(
    depth=dict(type='RMSELogLoss'),
    gradient=dict(type='SobelGradientLoss'),
    normal=dict(type='SobelNormalLoss'),
)
UP_FACTORS = (2, 4, 8)  # of the levels at stride 8, 16 and 32


class FeaturePyramid(nn.Module):
    """Top-down feature pyramid.

    The smoothed map of a level feeds the next finer one; the coarsest is not smoothed.

    Args:
        in_channels: Channels of the levels, finest first.
        channels: Channels C of the pyramid.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Conv2d(width, channels, kernel_size=1) for width in in_channels
        )
        self.smooths = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels[:-1]
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Map levels (N, C_i, h_i, w_i), finest first, to (N, C, h_i, w_i)."""
        feats = [lateral(level) for lateral, level in zip(self.laterals, levels, strict=True)]
        pyramid = [feats[-1]]
        for index in reversed(range(len(self.smooths))):  # coarse to fine
            feat = feats[index]
            up = F.interpolate(
                pyramid[0],
                size=feat.shape[-2:],
                mode='bilinear',
                align_corners=False,
            )
            pyramid.insert(0, self.smooths[index](up + feat))
        return pyramid


def aggregation(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return two 3x3 convolutions with ReLU; the first keeps the channels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.ReLU(),
    )


def shuffle_up(channels: int, factor: int) -> nn.Sequential:
    """Return a 3x3 convolution, a pixel shuffle by ``factor`` and ReLU."""
    conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
    return nn.Sequential(conv, nn.PixelShuffle(factor), nn.ReLU())


@MODELS.register_module()
class SDConvTransHead(RegressionHead):
    """Two branches with shared weights, joined by boundary diffusion.

    Depth is ``sigmoid * max_depth``.

    Published quirk, kept for the weights: the branches use the aggregation modules in opposite
    order.

    Args:
        conv_channels: Channels of the convolutional levels, finest first;
            :class:`SDConvTransEstimator` fills them in.
        transformer_channels: Channels of the transformer levels, likewise.
        pyramid_channels: Channels of the feature pyramid.
        channels: Channels C of the decoder.
        guidance: ``'base'``, the features behind the base depth (published), or ``'semantic'``, all
            levels of the transformer (what the paper describes).
        base_radius: Radius of the filter that makes the target of the base depth, in pixels of the
            ground truth.
        base_edge: Depth steps well above it, in metres, stay in the base depth.
        losses: Configs by name, each with ``(pred, target, mask)``, applied to the detailed and to
            the base depth; published: depth, gradient and normal with weight 1.
        **kwargs: Depth range and ``align_corners`` of :class:`~depth.models.heads.RegressionHead`.

    Raises:
        ValueError: If ``guidance`` is unknown.

    Reference: https://github.com/vivien12138/MonoDepth-SD-ConvTrans-PyTorch
    """

    def __init__(
        self,
        conv_channels: Sequence[int],
        transformer_channels: Sequence[int],
        pyramid_channels: int = 256,
        channels: int = 128,
        guidance: str = 'base',
        base_radius: int = 15,
        base_edge: float = 0.2,
        losses: dict[str, dict] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(channels, **dict(align_corners=False, scale_up=True) | kwargs)
        if guidance not in ('base', 'semantic'):
            raise ValueError(f"SDConvTransHead: guidance is 'base' or 'semantic', got {guidance!r}")
        self.base_radius, self.base_edge = base_radius, base_edge
        self.pyramid = FeaturePyramid(conv_channels, pyramid_channels)
        self.conv_aggregations = nn.ModuleList(
            aggregation(pyramid_channels, channels) for _ in conv_channels
        )
        self.transformer_aggregations = nn.ModuleList(
            aggregation(width, channels) for width in transformer_channels
        )
        self.ups = nn.ModuleList(shuffle_up(channels, factor) for factor in UP_FACTORS)
        self.fuse = nn.Sequential(
            nn.Conv2d(channels * len(conv_channels), channels, 3, padding=1),
            nn.ReLU(),
        )
        self.diffusion = BoundaryDiffusion(channels)
        self.detail_aggregation = aggregation(2 * channels, channels)
        self.semantic = (
            SemanticGuidance(transformer_channels, channels) if guidance == 'semantic' else None
        )
        del self.loss_decode  # the named losses take its place
        self.losses = nn.ModuleDict(
            {name: MODELS.build(loss) for name, loss in (losses or LOSSES).items()},
        )

    def forward(
        self,
        feats: dict[str, list[Tensor]],
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Map what :class:`SDConvTransBackbone` gives to depth in metres.

        Returns:
            ``depth``: detailed depth, a quarter of the image's size; ``base_depth``: a quarter of
            the low-resolution view's; ``boundary``: mean magnitude of the guided differences, at
            the size of ``depth``. All (N, 1, h, w).
        """
        base = self.fuse(self._low_maps(feats['low']))
        guidance = base if self.semantic is None else self.semantic(feats['transformer'])
        detail, differences = self.diffusion(self.fuse(self._high_maps(feats)), guidance)
        return dict(
            depth=self.regress(self.detail_aggregation(detail)),
            base_depth=self.regress(base),
            boundary=differences.abs().mean(dim=1, keepdim=True),
        )

    def _low_maps(self, levels: Sequence[Tensor]) -> Tensor:
        """Return the joined maps (N, 4C, h, w) of the low-resolution view."""
        # Published: here the aggregation modules are applied in the opposite order.
        aggregations = reversed(self.conv_aggregations)
        maps = []
        for aggregate, level in zip(aggregations, self.pyramid(levels), strict=True):
            maps.append(aggregate(level))
        return self._join(maps)

    def _high_maps(self, feats: dict[str, list[Tensor]]) -> Tensor:
        """Return the joined maps (N, 4C, h, w) of the high-resolution view, both backbones added."""
        maps = []
        for index, level in enumerate(self.pyramid(feats['high'])):
            conv = self.conv_aggregations[index](level)
            transformer = self.transformer_aggregations[index](feats['transformer'][index])
            maps.append(conv + transformer)
        return self._join(maps)

    def _join(self, maps: Sequence[Tensor]) -> Tensor:
        """Concatenate maps (N, C, h_i, w_i), finest first, at the finest size.

        The channels of the coarsest map come first, as in the published weights.
        """
        size = maps[0].shape[-2:]
        joined = [maps[0]]
        for up, feat in zip(self.ups, maps[1:], strict=True):
            # A pixel shuffle gives multiples of the level's size, which rounding may make too
            # large.
            feat = F.interpolate(up(feat), size=size, mode='bilinear', align_corners=False)
            joined.insert(0, feat)
        return torch.cat(joined, dim=1)

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of the detailed and of the base depth.

        The target of the detailed depth is ``gt_depth`` (N, 1, H, W), that of the base depth a
        smoothed version of it.

        Both targets are brought to the size of the outputs, as published.
        """
        mask = gt_depth > 0
        base = smooth_base_depth(gt_depth, mask, self.base_radius, self.base_edge)
        detailed = self._losses('', outputs['depth'], gt_depth, mask, data_samples)
        return detailed | self._losses('base_', outputs['base_depth'], base, mask, data_samples)

    def _losses(
        self,
        prefix: str,
        pred: Tensor,
        gt_depth: Tensor,
        mask: Tensor,
        data_samples: list[DepthDataSample] | None,
    ) -> dict[str, Tensor]:
        """Return the named losses of one output, at its own size."""
        target, valid = downsample_valid(gt_depth, mask, pred.shape[-2:])
        values = {}
        for name, loss in self.losses.items():
            if getattr(loss, 'needs_intrinsics', False):
                intrinsics = _scaled_intrinsics(data_samples, gt_depth, pred)
                value = loss(pred, target, valid, intrinsics)
            else:
                value = loss(pred, target, valid)
            values[f'loss_{prefix}{name}'] = value
        return values


def _scaled_intrinsics(
    data_samples: list[DepthDataSample] | None,
    gt_depth: Tensor,
    pred: Tensor,
) -> Tensor:
    """Return the samples' cameras (N, 3, 3) for maps of the size of ``pred``."""
    if not data_samples or any('intrinsics' not in sample for sample in data_samples):
        raise ValueError('SDConvTransHead: a loss needs intrinsics, but the data samples have none')
    cameras = torch.stack([sample.intrinsics for sample in data_samples]).to(pred)
    by_x = pred.shape[-1] / gt_depth.shape[-1]
    by_y = pred.shape[-2] / gt_depth.shape[-2]
    scale = device_constant((by_x, by_y, 1.0), pred.device)
    # Pixel centres are at whole numbers, but a resize scales about the image's corner.
    shift = torch.zeros_like(cameras)
    shift[:, :2, 2] = 0.5
    return (cameras + shift) * scale[:, None] - shift
