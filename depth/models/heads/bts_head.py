"""BTS head: dense ASPP and a decoder with local planar guidance at 1/8, 1/4 and 1/2 of the image.

Reference: From Big to Small, https://arxiv.org/abs/1907.10326
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.registry import MODELS

from .regression_head import RegressionHead

CELL_SIZES = (8, 4, 2)  # pixels a side of a cell at 1/8, 1/4 and 1/2 of the image
MIN_COSINE = 1e-3


class AtrousBlock(nn.Sequential):
    """Block of dense ASPP: 1x1 convolution to 2 C channels, dilated 3x3 convolution to C.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels C of the result.
        dilation: Dilation of the 3x3 convolution.
        first_norm: Normalise the input first; the input of the first block is normalised already.
    """

    def __init__(
        self, in_channels: int, out_channels: int, dilation: int, first_norm: bool = True
    ) -> None:
        layers = [nn.BatchNorm2d(in_channels, eps=1.1e-5, momentum=0.01)] if first_norm else []
        super().__init__(
            *layers,
            nn.ReLU(),
            nn.Conv2d(in_channels, 2 * out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(2 * out_channels, momentum=0.01),
            nn.ReLU(),
            nn.Conv2d(
                2 * out_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False
            ),
        )


class DenseASPP(nn.Module):
    """Dense atrous spatial pyramid pooling.

    Each block takes the context and the results of all blocks before it.

    Args:
        in_channels: Channels of the map that the first block takes.
        context_channels: Channels of the map that the other blocks take.
        out_channels: Channels C of every block and of the result.
        dilations: Dilation of each block.
    """

    def __init__(
        self,
        in_channels: int,
        context_channels: int,
        out_channels: int,
        dilations: Sequence[int] = (3, 6, 12, 18, 24),
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [AtrousBlock(in_channels, out_channels, dilations[0], first_norm=False)]
        )
        for index, dilation in enumerate(dilations[1:], start=1):
            self.blocks.append(
                AtrousBlock(context_channels + index * out_channels, out_channels, dilation)
            )
        width = in_channels + len(dilations) * out_channels
        self.fuse = nn.Sequential(
            nn.Conv2d(width, out_channels, 3, padding=1, bias=False), nn.ELU()
        )

    def forward(self, feat: Tensor, context: Tensor) -> Tensor:
        """Map ``feat`` and ``context``, both (N, *, h, w), to (N, C, h, w)."""
        results = [self.blocks[0](feat)]
        for block in self.blocks[1:]:
            results.append(block(torch.cat([context, *results], dim=1)))
        return self.fuse(torch.cat([feat, *results], dim=1))


def reduction(in_channels: int, first: int, out_channels: int) -> nn.Sequential:
    """Return 1x1 convolutions that halve the channels from ``first`` to 8, and an output layer."""
    layers = []
    width = first
    while width >= 8:
        layers += [nn.Conv2d(in_channels, width, kernel_size=1, bias=False), nn.ELU()]
        in_channels = width
        width = width // 2
    return nn.Sequential(*layers, nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False))


class PlaneRegression(nn.Module):
    """Predict the plane coefficients of every cell: unit normal and distance.

    Args:
        in_channels: Channels C of the map.
        first: Width of the first convolution, see :func:`reduction`.
        max_distance: Largest distance of a plane, in metres.
    """

    def __init__(self, in_channels: int, first: int, max_distance: float) -> None:
        super().__init__()
        self.reduce = reduction(in_channels, first, 3)
        self.max_distance = max_distance

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to planes (N, 4, h, w): unit normal and distance in metres.

        Normals are at most 60 degrees off the optical axis.
        """
        # (N, h, w) each
        polar, azimuth, distance = self.reduce(feat).float().sigmoid().unbind(dim=1)
        polar = polar * math.pi / 3
        azimuth = azimuth * 2 * math.pi
        normal = [polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()]
        return torch.stack([*normal, distance * self.max_distance], dim=1)


def local_planar_guidance(planes: Tensor, size: int) -> Tensor:
    """Local planar guidance: expand per-cell plane coefficients to the depth of every pixel.

    The ray of a pixel at (u, v), from -1/2 to 1/2 across its cell whatever the camera, meets the
    cell's plane at depth ``distance / (n1 u + n2 v + n3)``.

    Args:
        planes: Unit normal and distance in metres, (N, 4, h, w).
        size: Side k of a cell in pixels.

    Returns:
        Depth (N, 1, k h, k w) in metres.
    """
    normal, distance = F.normalize(planes[:, :3], dim=1), planes[:, 3]
    steps = (torch.arange(size, device=planes.device, dtype=planes.dtype) - (size - 1) / 2) / size
    n1, n2, n3 = normal[:, :, :, None, :, None].unbind(dim=1)  # (N, h, 1, w, 1) each
    cosine = n1 * steps + n2 * steps[:, None, None] + n3  # (N, h, k, w, k)
    # A ray along its plane would meet it at infinity: the divisor keeps its sign, but gets a size
    # of at least MIN_COSINE.
    smallest = torch.where(cosine < 0, -MIN_COSINE, MIN_COSINE)
    cosine = torch.where(cosine.abs() < MIN_COSINE, smallest, cosine)
    depth = distance[:, :, None, :, None] / cosine
    return depth.flatten(3, 4).flatten(1, 2).unsqueeze(1)


def conv_elu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3x3 convolution without bias, and ELU."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.ELU())


class UpConv(nn.Module):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution with ELU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels C of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv_elu(in_channels, out_channels)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, *, h, w) to (N, C, 2 h, 2 w)."""
        return self.conv(F.interpolate(feat, scale_factor=2, mode='nearest'))


@MODELS.register_module()
class BTSHead(RegressionHead):
    """BTS head: dense ASPP and local planar guidance.

    Depth is ``sigmoid(x) * max_depth`` at the image's size. Doubled maps are cut at the right and
    the bottom where a level has an odd size, so that any image size works.

    Args:
        in_channels: Channels of five levels at strides 2 to 32.
        num_features: Width F of the coarsest decoder level; finer ones have F/2, F/4, F/8 and F/16.
            A multiple of 16.
        dilations: Dilation of each block of the dense ASPP.
        align_corners: Convention of the final resize.
        **kwargs: Depth range and ``loss_decode``, see :class:`RegressionHead`.

    Raises:
        ValueError: If there are not five levels or F is no multiple of 16.

    Reference: From Big to Small, https://arxiv.org/abs/1907.10326
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_features: int = 512,
        dilations: Sequence[int] = (3, 6, 12, 18, 24),
        align_corners: bool = False,
        **kwargs,
    ) -> None:
        if len(in_channels) != 5:
            raise ValueError(
                'BTSHead: in_channels must name five levels, strides 2 to 32, got '
                f'{list(in_channels)}'
            )
        if num_features % 16 or num_features <= 0:
            raise ValueError(f'BTSHead: num_features is a multiple of 16, got {num_features}')
        widths = [num_features // divisor for divisor in (1, 2, 4, 8, 16)]
        super().__init__(widths[-1], scale_up=True, align_corners=align_corners, **kwargs)
        self.in_channels = list(in_channels)
        half, quarter, eighth, sixteenth = widths[1:]
        # The third level starts from the F/4 channels of dense ASPP, not from F/2.
        up_inputs = [in_channels[-1], num_features, quarter, quarter, eighth]
        self.up = nn.ModuleList(
            UpConv(*channels) for channels in zip(up_inputs, widths, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, eps=1.1e-5, momentum=0.01) for width in widths[:4]
        )
        # The two finer skip connections come with the guide of the level before; the last level has
        # no feature map, but one more depth map and all guides.
        skips = [
            in_channels[3],
            in_channels[2],
            in_channels[1] + 1,
            in_channels[0] + 1,
            1 + len(CELL_SIZES),
        ]
        self.convs = nn.ModuleList(
            conv_elu(width + skip, width) for width, skip in zip(widths, skips, strict=True)
        )
        self.aspp_norm = nn.BatchNorm2d(half, eps=1.1e-5, momentum=0.01)
        self.aspp = DenseASPP(half, half + in_channels[2], quarter, dilations)
        self.planes = nn.ModuleList(
            PlaneRegression(width, first, self.max_depth)
            for width, first in ((quarter, quarter), (quarter, eighth), (eighth, sixteenth))
        )
        self.reduce = reduction(sixteenth, sixteenth // 2, 1)

    def forward(
        self, feats: Sequence[Tensor], data_samples: list | None = None
    ) -> dict[str, Tensor]:
        """Map features (N, C, h, w), finest (stride 2) first, to depth in metres.

        Returns:
            ``depth`` (N, 1, H, W) at twice the size of the finest level.
        """
        feat = self.convs[0](self._upsample(0, feats[4].relu(), feats[3]))  # stride 16
        context = self._upsample(1, feat, feats[2])  # stride 8
        feat = self.aspp(self.aspp_norm(self.convs[1](context)), context)
        guides = [self._guide(0, feat)]
        for level, skip in ((2, feats[1]), (3, feats[0])):
            # The guide is as large as the image; every k-th pixel makes it as large as the level.
            step = CELL_SIZES[level - 1]
            guide = crop(guides[-1][..., ::step, ::step], skip)
            feat = self.convs[level](torch.cat([self._upsample(level, feat, skip), guide], dim=1))
            guides.append(self._guide(level - 1, feat))
        feat = self.up[4](feat)
        finest = self.reduce(feat).float().sigmoid()
        inputs = [feat, finest]
        for guide in reversed(guides):
            inputs.append(crop(guide, feat))
        return dict(depth=self.regress(self.convs[4](torch.cat(inputs, dim=1))))

    def _upsample(self, level: int, feat: Tensor, skip: Tensor) -> Tensor:
        """Double the size of ``feat``, normalise it and concatenate the skip connection."""
        return torch.cat([self.norms[level](crop(self.up[level](feat), skip)), skip], dim=1)

    def _guide(self, index: int, feat: Tensor) -> Tensor:
        """Return the planes' depth at the image's size, divided by ``max_depth``."""
        return local_planar_guidance(self.planes[index](feat), CELL_SIZES[index]) / self.max_depth


def crop(feat: Tensor, like: Tensor) -> Tensor:
    """Cut a map at the right and the bottom to the size of ``like``."""
    return feat[..., : like.shape[-2], : like.shape[-1]]
