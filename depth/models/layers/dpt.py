"""Parts of the dense prediction transformer: readout, reassemble, fusion.

Module names are those of the published checkpoints. Reference: DPT, https://arxiv.org/abs/2103.13413
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

READOUTS = ('project', 'add', 'ignore')


class Reassemble(nn.Module):
    """Give every block's tokens the class token's knowledge, then the stride of a pyramid level.

    Args:
        embed_dim: Channels E of the tokens.
        out_channels: Channels of the four levels, whose maps are 4, 2, 1 and 1/2 times as large as the patch grid.
        readout: How a token meets the class token: ``'project'`` (a linear layer with GELU on both), ``'add'`` or
            ``'ignore'``.

    Raises:
        ValueError: If the readout is unknown or there are not four levels.
    """

    def __init__(self, embed_dim: int, out_channels: Sequence[int], readout: str = 'project') -> None:
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(f'readout is one of {", ".join(map(repr, READOUTS))}, got {readout!r}')
        if len(out_channels) != 4:
            raise ValueError(f'DPT reassembles four blocks, got {len(out_channels)} entries in {list(out_channels)}')
        self.readout = readout
        first, second, _, last = out_channels
        self.projects = nn.ModuleList(ConvModule(embed_dim, channels, 1, act_cfg=None) for channels in out_channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, kernel_size=4, stride=4),
                nn.ConvTranspose2d(second, second, kernel_size=2, stride=2),
                nn.Identity(),
                nn.Conv2d(last, last, kernel_size=3, stride=2, padding=1),
            ]
        )
        if readout == 'project':
            self.readout_projects = nn.ModuleList(
                nn.Sequential(nn.Linear(2 * embed_dim, embed_dim), nn.GELU()) for _ in out_channels
            )

    def forward(self, feats: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Map (map (N, E, h, w), class token (N, E)) of four blocks to maps (N, C, H, W), finest first."""
        outputs = []
        for index, (feat, class_token) in enumerate(feats):
            feat = self.projects[index](self._read_out(index, feat, class_token))
            outputs.append(self.resize_layers[index](feat))
        return outputs

    def _read_out(self, index: int, feat: Tensor, class_token: Tensor) -> Tensor:
        if self.readout == 'ignore':
            return feat
        if self.readout == 'add':
            return feat + class_token[:, :, None, None]
        tokens = feat.flatten(2).transpose(1, 2)
        both = torch.cat([tokens, class_token.unsqueeze(1).expand_as(tokens)], dim=2)
        return self.readout_projects[index](both).transpose(1, 2).reshape(feat.shape)


class PreActResidual(nn.Module):
    """Two times ReLU and 3x3 convolution, plus the input before its ReLU.

    Args:
        channels: Channels C of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        block = dict(
            kernel_size=3,
            padding=1,
            bias=False,
            act_cfg=dict(type='ReLU'),
            inplace=False,  # the input is still needed for the sum
            order=('act', 'conv', 'norm'),
        )
        self.conv1 = ConvModule(channels, channels, **block)
        self.conv2 = ConvModule(channels, channels, **block)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        return feat + self.conv2(self.conv1(feat))


class FusionBlock(nn.Module):
    """Add a skip connection to the coarser result, refine, double the size and mix channels.

    Args:
        channels: Channels C.
        with_skip: Whether there is a skip connection; the coarsest block has none.
    """

    def __init__(self, channels: int, with_skip: bool = True) -> None:
        super().__init__()
        if with_skip:
            self.res_conv_unit1 = PreActResidual(channels)
        self.res_conv_unit2 = PreActResidual(channels)
        self.project = ConvModule(channels, channels, 1, act_cfg=None)

    def forward(self, feat: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map ``feat`` (N, C, h, w) and ``skip`` (N, C, h', w'), resized where it differs, to (N, C, 2 h, 2 w)."""
        if skip is not None:
            if skip.shape != feat.shape:
                skip = F.interpolate(skip, size=feat.shape[-2:], mode='bilinear', align_corners=False)
            feat = feat + self.res_conv_unit1(skip)
        return self.project(double(self.res_conv_unit2(feat)))


def double(feat: Tensor) -> Tensor:
    """Resize (N, C, h, w) to (N, C, 2 h, 2 w), bilinear with ``align_corners=True`` as published."""
    size = [2 * length for length in feat.shape[-2:]]
    return F.interpolate(feat, size=size, mode='bilinear', align_corners=True)
