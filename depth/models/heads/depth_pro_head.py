"""Head of Depth Pro: canonical inverse depth and field of view.

Reference: Depth Pro: Sharp Monocular Metric Depth in Less Than a Second,
https://arxiv.org/abs/2410.02073; layout of https://github.com/apple/ml-depth-pro.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..losses.combined_loss import loss_terms

TYPICAL_FOV = 55.0  # degrees; where a training from scratch starts


class ResidualUnit(nn.Module):
    """x + conv2(relu(conv1(relu(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class FusionBlock(nn.Module):
    """Fusion of the coarser features with those of a level.

    Args:
        channels: Channels C.
        has_skip: Whether features of a level are added; the coarsest block has none.
        doubles: Whether a deconvolution doubles the size.
    """

    def __init__(self, channels: int, has_skip: bool = True, doubles: bool = True) -> None:
        super().__init__()
        self.skip_unit = ResidualUnit(channels) if has_skip else None
        self.unit = ResidualUnit(channels)
        self.upsample = nn.Identity()
        if doubles:
            self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Map (N, C, h, w), and a skip of this shape, to (N, C, 2 h, 2 w)."""
        if skip is not None:
            x = x + self.skip_unit(skip)
        return self.project(self.upsample(self.unit(x)))


@MODELS.register_module()
class DepthProHead(BaseModule):
    """Canonical inverse depth and horizontal field of view of Depth Pro.

    Canonical inverse depth is f / (W D) for depth D, the focal length f and the width W in pixels:
    inverse depth as if the image were as wide as its focal length.

    Args:
        in_channels: Channels of five feature maps, finest first.
        fov_channels: Channels of the map for the field of view.
        fov_grid: Rows and columns g of that map, a multiple of 4.
        channels: Channels of the decoder.
        fov_weight: Weight of the squared error of the field of view, in radians^2.
        loss_decode: Config of the loss on canonical inverse depth.
    """

    prediction_type = 'metric'

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 256, 512, 1024, 1024),
        fov_channels: int = 1024,
        fov_grid: int = 24,
        channels: int = 256,
        fov_weight: float = 1.0,
        loss_decode: dict | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = list(in_channels)
        finest = nn.Identity()
        if in_channels[0] != channels:
            finest = nn.Conv2d(in_channels[0], channels, 1, bias=False)
        self.convs = nn.ModuleList([finest])
        for width in in_channels[1:]:
            self.convs.append(nn.Conv2d(width, channels, 3, padding=1, bias=False))
        self.fusions = nn.ModuleList()
        for level in range(len(in_channels)):
            is_coarsest = level == len(in_channels) - 1
            self.fusions.append(FusionBlock(channels, not is_coarsest, doubles=level > 0))
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.ConvTranspose2d(channels // 2, channels // 2, 2, stride=2),
            nn.Conv2d(channels // 2, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 1),
            nn.ReLU(),
        )
        self.fov_projection = nn.Conv2d(fov_channels, channels // 2, 1)
        self.fov_downsample = nn.Conv2d(channels, channels // 2, 3, stride=2, padding=1)
        self.fov_head = nn.Sequential(
            nn.Conv2d(channels // 2, channels // 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels // 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels // 8, 1, fov_grid // 4),
        )
        # The regression in degrees starts from a usual camera, not from a field of view of 0.
        nn.init.constant_(self.fov_head[-1].bias, TYPICAL_FOV)
        self.fov_weight = fov_weight
        self.loss_decode = MODELS.build(loss_decode or dict(type='TrimmedL1Loss'))

    @torch.no_grad()
    def init_depth_bias(self, depth: float) -> None:
        """Initialise the last convolution so that the head predicts about ``depth`` metres.

        The ReLU behind it is then positive, and trained, at every pixel.
        """
        focal = 0.5 / math.tan(math.radians(TYPICAL_FOV) / 2)  # as a share of the width
        self.head[-2].bias.fill_(focal / depth)
        self.head[-2].weight.mul_(0.01)

    def forward(
        self,
        feats: tuple[Sequence[Tensor], Tensor],
        data_samples: Sequence[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Map the encoder's features to inverse depth and field of view.

        Args:
            feats: Five maps (N, C, h, w), finest first, and the map (N, C, g, g) for the field of
                view.
            data_samples: Not used.

        Returns:
            ``inverse_depth`` (N, 1, 2 h, 2 w), canonical, of the finest h and w; ``fov`` (N,) in
            degrees, unbounded.
        """
        maps, fov_map = feats
        coarsest = self.convs[-1](maps[-1])
        x = self.fusions[-1](coarsest)
        for level in range(len(maps) - 2, -1, -1):
            x = self.fusions[level](x, self.convs[level](maps[level]))
        # The field of view does not train the depth network.
        context = F.relu(self.fov_downsample(coarsest.detach()))
        fov = self.fov_head(self.fov_projection(fov_map) + context)
        return dict(inverse_depth=self.head(x).float(), fov=fov.flatten().float())

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: Sequence[DepthDataSample],
    ) -> dict[str, Tensor]:
        """Return the losses of canonical inverse depth and field of view.

        Args:
            outputs: Result of :meth:`forward`.
            gt_depth: (N, 1, H, W) in metres, 0 = no ground truth.
            data_samples: With ``intrinsics`` in pixels of ``gt_depth``.

        Raises:
            ValueError: If a sample has no intrinsics.
        """
        for sample in data_samples:
            if 'intrinsics' not in sample:
                raise ValueError(
                    f'{sample.get("img_path", "a sample")} has no camera (cam_intrinsic), which '
                    'the canonical inverse depth of DepthProHead is trained with'
                )
        height, width = gt_depth.shape[-2:]
        focal = torch.stack([sample.intrinsics[0, 0] for sample in data_samples]) / width  # (N,)
        mask = gt_depth > 0
        # f / (W D), the canonical inverse depth; a masked pixel gets a finite value.
        target = focal.view(-1, 1, 1, 1) / torch.where(mask, gt_depth, 1)
        inverse_depth = F.interpolate(
            outputs['inverse_depth'], size=(height, width), mode='bilinear', align_corners=False
        )
        fov = 2 * torch.atan(0.5 / focal)
        fov_error = (outputs['fov'] * (math.pi / 180) - fov).square().mean()
        terms = loss_terms(self.loss_decode, inverse_depth, target, mask)
        losses = {f'loss_{name}': value for name, value in terms.items()}
        losses['loss_fov'] = self.fov_weight * fov_error
        return losses
