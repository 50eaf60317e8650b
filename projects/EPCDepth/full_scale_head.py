"""EPCDepth full-scale head: outputs of all decoder stages and, in training, encoder levels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.models.heads import SigmoidDepthHead, reflect_conv
from depth.registry import MODELS

from .rsu import RSU

NUM_LEVELS = 5
# Coarse to fine, stride 16 to 1.
STAGES = ('stage5d', 'stage4d', 'stage3d', 'stage2d', 'stage1d')
STAGE_CHANNELS = (256, 128, 64, 32, 16)
STAGE_MID_CHANNELS = (64, 32, 16, 8, 4)
# Fine to coarse, stride 2 to 32.
ENCODER_CHANNELS = (64, 64, 128, 256, 512)
ENCODER_MID_CHANNELS = (32, 32, 64, 128, 256)


class EncoderOutput(nn.Module):
    """Depth output of one encoder level: a residual U-block and a sigmoid.

    Args:
        height: Levels of its RSU.
        in_channels: Channels of the encoder level.
        mid_channels: Channels inside the RSU.
        out_channels: Channels after it.
    """

    def __init__(self, height: int, in_channels: int, mid_channels: int, out_channels: int) -> None:
        super().__init__()
        self.bottleneck = RSU(height, in_channels, mid_channels, out_channels)
        self.disp = nn.Sequential(reflect_conv(out_channels, 1), nn.Sigmoid())

    def forward(self, feat: Tensor) -> Tensor:
        """Map features (N, C, h, w) to a sigmoid (N, 1, h, w)."""
        return self.disp(self.bottleneck(feat))


@MODELS.register_module()
class FullScaleHead(SigmoidDepthHead):
    """Decoder of residual U-blocks with an output per stage and per encoder level.

    The decoder's outputs are at 1/1, 1/2, ..., 1/16 of the image's size, the encoder's at 1/32,
    1/16, ..., 1/2. The encoder's only help training: they are not computed in eval mode unless
    :meth:`all_sigmoids` is called.

    Args:
        in_channels: Channels of the five feature levels, finest (stride 2) first.
        output_range: Depth in metres of a sigmoid of 1 and of 0. The published range of 0.1 to 100,
            in units in which the baseline of 0.54 m is 0.1, is 0.54 to 540.

    Raises:
        ValueError: If there are not five levels; in ``forward`` if the image is too small for the
            U-blocks.

    Reference: Excavating the Potential Capacity of Self-Supervised Monocular Depth Estimation,
    https://arxiv.org/abs/2109.12484.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 64, 128, 256, 512),
        output_range: Sequence[float] = (0.54, 540.0),
    ) -> None:
        super().__init__(output_range)
        if len(in_channels) != NUM_LEVELS:
            raise ValueError(
                f'FullScaleHead: in_channels names five levels, got {list(in_channels)}',
            )
        self.in_channels = list(in_channels)
        coarser = in_channels[-1]  # channels of the map that a stage upsamples
        skips = [*in_channels[-2::-1], 0]  # coarse to fine; the last stage has no skip connection
        for index, name in enumerate(STAGES):
            width = STAGE_CHANNELS[index]
            block = RSU(index + 3, coarser + skips[index], STAGE_MID_CHANNELS[index], width)
            self.add_module(name, block)
            coarser = width
        self.encoder_disps = nn.ModuleList()
        for level in range(NUM_LEVELS):
            channels = (in_channels[level], ENCODER_MID_CHANNELS[level], ENCODER_CHANNELS[level])
            # Finer levels have deeper U-blocks, so that all see about the same part of the image.
            self.encoder_disps.append(EncoderOutput(7 - level, *channels))
        self.disps = nn.ModuleList()
        for channels in STAGE_CHANNELS:
            self.disps.append(nn.Sequential(reflect_conv(channels, 1), nn.Sigmoid()))

    def forward(
        self,
        feats: Sequence[Tensor],
        data_samples: list | None = None,
    ) -> dict[str, list[Tensor]]:
        """Map features (N, C, h, w), finest first, to ``sigmoids``: five in eval mode, ten in training mode."""
        if self.training:
            return dict(sigmoids=self.all_sigmoids(feats))
        return dict(sigmoids=self.decoder_sigmoids(feats))

    def all_sigmoids(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Return the decoder's outputs, finest first, then the encoder's, coarsest first, (N, 1, h, w) each."""
        encoder = [output(feat) for output, feat in zip(self.encoder_disps, feats, strict=True)]
        return self.decoder_sigmoids(feats) + encoder[::-1]

    def decoder_sigmoids(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Return the decoder's outputs (N, 1, h, w), finest first."""
        self._check(feats)
        x, sigmoids = feats[-1], []
        skips = [*feats[-2::-1], None]  # coarse to fine; the full size has no encoder level
        for name, skip, output in zip(STAGES, skips, self.disps, strict=True):
            x = F.interpolate(x, scale_factor=2, mode='nearest')
            if skip is not None:
                x = torch.cat([x, skip], dim=1)
            x = self.get_submodule(name)(x)
            sigmoids.insert(0, output(x))
        return sigmoids

    def _check(self, feats: Sequence[Tensor]) -> None:
        size = [2 * side for side in feats[0].shape[-2:]]
        if any(side % 32 or side < 160 for side in size):
            raise ValueError(
                'FullScaleHead: the sides of an image are multiples of 32 and at least 160, got '
                f'{size[0]}x{size[1]}; the reflected borders of the dilated convolutions do not '
                'fit below',
            )
