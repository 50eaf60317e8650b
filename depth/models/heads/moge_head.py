"""Head of MoGe-2: affine point map, surface normals, mask of finite points and metric scale.

Feature maps of several encoder blocks are projected and summed. A neck of convolutions doubles the
size four times; at each of its five levels three branches take its features: points, normals and
mask. The class token gives the metric scale.

Reference: MoGe-2: Accurate Monocular Geometry with Metric Scale and Sharp Details,
https://arxiv.org/abs/2507.02546; layout of https://github.com/microsoft/MoGe (MIT licence).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.affine_points import image_plane_coordinates
from ..layers.surface_normals import back_project
from .base_depth_head import stack_labels

NUM_LEVELS = 5


class ReplicatePaddedConv(nn.Conv2d):
    """3x3 convolution that pads by repeating the border."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode='replicate')


class PlainResidualBlock(nn.Module):
    """x + conv2(relu(conv1(relu(x)))), without norms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ReplicatePaddedConv(channels, channels)
        self.conv2 = ReplicatePaddedConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class ConvStack(nn.Module):
    """Five levels of convolutions, each with twice the rows and columns of the one before.

    Args:
        in_channels: Channels of the input of each level; the first level is the coarsest.
        channels: Channels C of each level.
        num_blocks: Residual blocks of each level.
        out_channels: Channels of an output at the finest level; None gives the features of all
            levels instead.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        num_blocks: Sequence[int],
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(
            nn.Conv2d(width_in, width, 1)
            for width_in, width in zip(in_channels, channels, strict=True)
        )
        self.blocks = nn.ModuleList()
        for width, count in zip(channels, num_blocks, strict=True):
            self.blocks.append(nn.Sequential(*(PlainResidualBlock(width) for _ in range(count))))
        self.resamplers = nn.ModuleList()
        for level, (width, next_width) in enumerate(pairwise(channels)):
            # Deconvolutions up to the last step, which interpolates, as published.
            if level < NUM_LEVELS - 2:
                upsampling = nn.ConvTranspose2d(width, next_width, 2, stride=2)
                smoothing = ReplicatePaddedConv(next_width, next_width)
            else:
                upsampling = nn.Upsample(scale_factor=2, mode='bilinear', align_corners=False)
                smoothing = ReplicatePaddedConv(width, next_width)
            self.resamplers.append(nn.Sequential(upsampling, smoothing))
        self.output = nn.Conv2d(channels[-1], out_channels, 1) if out_channels else None

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor] | Tensor:
        """Map inputs (N, C_i, 2^i h, 2^i w) to features of these sizes, or to the finest output."""
        x = self.blocks[0](self.inputs[0](levels[0]))
        features = [x]
        for level in range(1, NUM_LEVELS):
            x = self.resamplers[level - 1](x) + self.inputs[level](levels[level])
            x = self.blocks[level](x)
            features.append(x)
        return features if self.output is None else self.output(x)


@MODELS.register_module()
class MoGeHead(BaseModule):
    """Affine point map, normals, mask and metric scale of MoGe-2.

    Args:
        in_channels: Channels of the feature map of each block taken.
        channels: Channels of the five levels, the coarsest first; the first also is the number of
            channels of the projections' sum.
        neck_blocks: Residual blocks of the neck at each level.
        head_blocks: Residual blocks of the points, normal and mask branch at each level.
        loss_decode: Config of the loss on all outputs.

    Raises:
        ValueError: If there are not five levels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int] = (1024, 256, 128, 64, 32),
        neck_blocks: Sequence[int] = (0, 2, 2, 2, 0),
        head_blocks: Sequence[int] = (0, 1, 1, 1, 0),
        loss_decode: dict | None = None,
    ) -> None:
        super().__init__()
        for name, values in dict(
            channels=channels, neck_blocks=neck_blocks, head_blocks=head_blocks
        ).items():
            if len(values) != NUM_LEVELS:
                raise ValueError(
                    f'MoGeHead: {name} has one value for each of {NUM_LEVELS} levels, got {values}'
                )
        width = channels[0]
        self.projections = nn.ModuleList(nn.Conv2d(count, width, 1) for count in in_channels)
        self.neck = ConvStack((width + 2, 2, 2, 2, 2), channels, neck_blocks)
        self.points_head = ConvStack(channels, channels, head_blocks, out_channels=3)
        self.normal_head = ConvStack(channels, channels, head_blocks, out_channels=3)
        self.mask_head = ConvStack(channels, channels, head_blocks, out_channels=1)
        self.scale_head = nn.Sequential(
            nn.Linear(in_channels[-1], width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )
        self.loss_decode = MODELS.build(loss_decode or dict(type='MoGeLoss'))

    def forward(
        self, feats: Sequence[tuple[Tensor, Tensor]], image_size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Map the blocks' features to a point map at the size of the image.

        Args:
            feats: Map (N, C, h, w) and prefix tokens (N, P, C), the class token first, of each
                block taken.
            image_size: (H, W) of the image, which also gives its aspect ratio.

        Returns:
            ``points`` (N, 3, H, W), in units of the metric scale and up to a shift along z;
            ``normals`` (N, 3, H, W), unit; ``mask`` (N, 1, H, W), the probability of a finite
            point; ``metric_scale`` (N,), metres per unit.
        """
        aspect = image_size[1] / image_size[0]
        maps = [
            projection(feat) for projection, (feat, _) in zip(self.projections, feats, strict=True)
        ]
        summed = torch.stack(maps, dim=1).sum(dim=1)  # (N, C, h, w)
        rows, columns = summed.shape[-2:]
        # Every level is told where its pixels lie in the image plane, and with it the aspect ratio.
        levels = []
        for level in range(NUM_LEVELS):
            plane = image_plane_coordinates(
                rows * 2**level, columns * 2**level, aspect, summed.device
            )
            levels.append(plane.to(summed.dtype).expand(len(summed), -1, -1, -1))
        levels[0] = torch.cat([summed, levels[0]], dim=1)
        features = self.neck(levels)
        points = _resize(self.points_head(features), image_size)
        normals = _resize(self.normal_head(features), image_size)
        mask = _resize(self.mask_head(features), image_size)
        class_token = feats[-1][1][:, 0]  # (N, C)
        # The branch gives x / z, y / z and log z: a change of depth moves a point along its ray.
        depth = points[:, 2:].exp()
        return dict(
            points=torch.cat([points[:, :2] * depth, depth], dim=1),
            normals=F.normalize(normals, dim=1),
            mask=mask.sigmoid(),
            metric_scale=self.scale_head(class_token).squeeze(1).float().exp(),
        )

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: Sequence[DepthDataSample],
    ) -> dict[str, Tensor]:
        """Return the losses against points of the ground truth.

        Args:
            outputs: Result of :meth:`forward`, at the size of ``gt_depth``.
            gt_depth: (N, 1, H, W) in metres, 0 = no ground truth.
            data_samples: With ``intrinsics``, and ``normals`` and ``gt_sky`` where there are
                labels.

        Raises:
            ValueError: If a sample has no intrinsics.
        """
        for sample in data_samples:
            if 'intrinsics' not in sample:
                raise ValueError(
                    f'{sample.get("img_path", "a sample")} has no camera (cam_intrinsic), which '
                    'the point map of MoGeHead is trained with'
                )
        intrinsics = torch.stack([sample.intrinsics for sample in data_samples])
        points = back_project(gt_depth, intrinsics)
        # Zero means no label, and keeps the normals' branch part of the loss's graph.
        no_normals = torch.zeros_like(points[0])
        normals = torch.stack([sample.get('normals', no_normals) for sample in data_samples])
        sky = stack_labels(data_samples, 'gt_sky', gt_depth)[:, 0] > 0
        return self.loss_decode(outputs, points, gt_depth[:, 0] > 0, sky, normals, intrinsics)


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize raw outputs (N, C, h, w) in float32, before the activations, as the published head."""
    return F.interpolate(maps.float(), size=tuple(size), mode='bilinear', align_corners=False)
