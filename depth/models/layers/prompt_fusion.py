"""Sparse or low-resolution depth as a prompt of a DPT decoder.

The prompt is resized to each stage of the decoder, encoded by a shallow network of 3x3 convolutions
and added to the image features through a projection that starts at zero:

    F_i <- F_i + Zero_i(Conv(ReLU(Conv(resize(prompt)))))

Reference: Prompting Depth Anything for 4K Resolution Accurate Metric Depth Estimation,
https://arxiv.org/abs/2412.14015 (section 3.2). Ours beyond the paper: points of any pattern are
filled first (the paper interpolates LiDAR points between their nearest neighbours), along the edges
of the image if ``guide_channels`` says so, the decoder is told how far the next point is, and the
depth itself is corrected at the end, where the paper normalises depth by the prompt's range, which
would change the model without a prompt.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from .sparse_points import (
    GAP_SCALE,
    fill_holes,
    fill_points,
    halvings,
    neighbours,
    stack_sparse_depth,
)

PROMPT_CHANNELS = 3  # log depth, distance to the next point, validity
NUM_CORRECTIONS = 3  # two shares and an offset
MIN_DEPTH = 1e-3  # metres, below the logarithm
NUM_NEIGHBOURS = 9  # 3x3
CONTRAST = 30.0  # at the start: a fifth of a standard deviation of colour is an edge
MAX_CORRECTION = 5.0  # of log depth, a factor of 148


@dataclass
class DepthPrompt:
    """Points of a batch, as a decoder takes them.

    Attributes:
        fusion: The layers.
        maps: (N, 3, H, W): log of filled depth, distance to the next point, validity.
        is_given: (N, 1, 1, 1) bool; False for images without points.
        guide: Features (N, G, H, W) of the image at its full resolution; None without a guide.
        affinities: See :func:`~depth.models.layers.sparse_points.fill_holes`.
    """

    fusion: 'PromptFusion'
    maps: Tensor
    is_given: Tensor
    guide: Tensor | None = None
    affinities: list[Tensor] | None = None

    def add_to(self, stage: int, feat: Tensor) -> Tensor:
        """Add the prompt to features (N, C, h, w) of a stage of the decoder, coarsest first."""
        prompt = F.interpolate(
            self.maps, size=feat.shape[-2:], mode='bilinear', align_corners=False
        )
        update = self.fusion.encoders[stage](prompt.to(feat))
        # Not a product with 0 or 1: an image without points keeps its very bits.
        return torch.where(self.is_given, feat + update, feat)

    def correct(self, depth: Tensor, feat: Tensor) -> Tensor:
        """Correct the log depth of the decoder by a learned combination of two interpolations.

        With d the decoder's depth and p that of the points, filled in between,

            ln d <- ln d + a * (fill(ln p) - ln d) + b * fill(ln p - ln d) + c

        The first term replaces the decoder's depth by the interpolated points, the second keeps its
        edges and shapes and interpolates the error that it has at the points. The shares a and b
        and the offset c are a map each, predicted from both and from the features.

        Args:
            depth: (N, 1, h, w) in metres.
            feat: Features before the output layers, (N, C, h', w').
        """
        size = depth.shape[-2:]
        maps = F.interpolate(self.maps, size=size, mode='bilinear', align_corners=False)
        log_depth = depth.clamp(min=MIN_DEPTH).log()
        replacement = maps[:, :1] - log_depth
        error = self._fill_error(log_depth)
        hidden = self.fusion.reduce(feat)
        hidden = F.interpolate(hidden, size=size, mode='bilinear', align_corners=False)
        cues = [maps, replacement, error]
        if self.guide is not None:
            cues.append(F.interpolate(self.guide, size=size, mode='bilinear', align_corners=False))
        cues = torch.cat(cues, dim=1).to(hidden)
        output = self.fusion.output(torch.cat([hidden, cues], dim=1)).float()
        replacement_share, error_share, offset = output.chunk(NUM_CORRECTIONS, dim=1)
        update = replacement_share * replacement + error_share * error + offset
        # An exponential that overflows once would make the weights NaN.
        update = update.clamp(-MAX_CORRECTION, MAX_CORRECTION)
        corrected = depth * update.exp()
        return torch.where(self.is_given, corrected, depth)

    def _fill_error(self, log_depth: Tensor) -> Tensor:
        """Return log of points minus ``log_depth`` (N, 1, h, w), filled between the points."""
        size = self.maps.shape[-2:]
        at_points = F.interpolate(log_depth, size=size, mode='bilinear', align_corners=False)
        is_known = self.maps[:, 2:] > 0
        error, _ = fill_holes(self.maps[:, :1] - at_points, is_known, self.affinities)
        return F.interpolate(error, size=log_depth.shape[-2:], mode='bilinear', align_corners=False)


@MODELS.register_module()
class PromptFusion(BaseModule):
    """Layers that bring a prompt of depth into a DPT decoder, whatever its pattern.

    All projections start at zero, and images without points are left as they are: then the model is
    the one without these layers, bit for bit. Heads of metric depth take it as ``prompt``.

    Args:
        channels: Channels C of the decoder's stages; the head gives them.
        feat_channels: Channels of the features before the output layers; the head gives them.
        num_stages: Stages of the decoder.
        hidden_channels: Channels of the shallow networks.
        guide_channels: Channels G of features of the image itself, of two 3x3 convolutions at full
            resolution. They say to which of its neighbours a pixel belongs when points are filled
            in, and go into the correction of depth: maps of patches are too coarse for edges. 0
            for none.
        train_alone: Train these layers alone: those of the head are frozen
            (``backbone.freeze=True`` freezes the backbone), so that the trained model without
            points is the model it started from, bit for bit.

    Reference: Prompting Depth Anything, https://arxiv.org/abs/2412.14015
    """

    def __init__(
        self,
        channels: int,
        feat_channels: int,
        num_stages: int = 4,
        hidden_channels: int = 32,
        guide_channels: int = 0,
        train_alone: bool = False,
    ) -> None:
        super().__init__()
        self.train_alone = train_alone
        self.encoders = nn.ModuleList(
            _shallow_network(PROMPT_CHANNELS, hidden_channels, channels) for _ in range(num_stages)
        )
        self.reduce = nn.Conv2d(feat_channels, hidden_channels, kernel_size=1)
        self.output = _shallow_network(
            hidden_channels + PROMPT_CHANNELS + 2 + guide_channels, hidden_channels, NUM_CORRECTIONS
        )
        self.guide = None
        if guide_channels:
            self.guide = nn.Sequential(
                nn.Conv2d(3, guide_channels, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Conv2d(guide_channels, guide_channels, kernel_size=3, padding=1),
                nn.ReLU(),
            )
            self.affinity = _zero_conv(guide_channels, NUM_NEIGHBOURS)
            self.log_contrast = nn.Parameter(torch.tensor(math.log(CONTRAST)))

    @property
    def OPTIONAL_STATE(self) -> tuple[str, ...]:
        """Names of all weights: a model without a prompt is a start for one with it."""
        return tuple(self.state_dict())

    def encode(
        self,
        data_samples: Sequence[DepthDataSample] | None,
        feat: Tensor,
        patch_size: int,
        images: Tensor | None = None,
    ) -> DepthPrompt | None:
        """Return the prompt of a batch, None if no sample has sparse depth.

        Args:
            data_samples: One an image, with ``sparse_depth`` (H, W) at the size of the image.
            feat: Map (N, C, h, w) of the backbone, which pads images at the right and bottom to
                whole patches.
            patch_size: Pixels of the image a pixel of the map.
            images: (N, 3, H, W), normalised; needed with a guide.

        Raises:
            ValueError: If the points do not have the size of the images, or a guide gets no images.
        """
        points = stack_sparse_depth(data_samples, feat)
        if points is None:
            return None
        height, width = (patch_size * length for length in feat.shape[-2:])
        rows, columns = height - points.shape[-2], width - points.shape[-1]
        if not (0 <= rows < patch_size and 0 <= columns < patch_size):
            raise ValueError(
                f'sparse_depth is {tuple(points.shape[-2:])}, but the images have {height}x{width} '
                f'pixels in whole patches of {patch_size}'
            )
        points = F.pad(points, (0, columns, 0, rows))
        guide = affinities = None
        if self.guide is not None:
            if images is None:
                raise ValueError(
                    'PromptFusion: guide_channels needs the images beside the features'
                )
            images = F.pad(images, (0, columns, 0, rows))
            guide = self.guide(images)
            affinities = self._affinities(halvings(images)[:-1], halvings(guide)[:-1])
        depth, gap = fill_points(points, affinities)
        maps = torch.cat([depth.log(), GAP_SCALE * gap, (points > 0).float()], dim=1)
        is_given = (points > 0).flatten(1).any(dim=1)[:, None, None, None]
        return DepthPrompt(self, maps, is_given, guide, affinities)

    def _affinities(self, images: Sequence[Tensor], guides: Sequence[Tensor]) -> list[Tensor]:
        """Return the shares (N, 9, h, w) of the neighbours of each pixel of each level.

        At the start they are those of a bilateral filter, exp(-contrast |difference of colour|^2).

        Args:
            images: Levels (N, 3, h, w) of the normalised images, finest first.
            guides: Their features, (N, G, h, w).
        """
        affinities = []
        for image, guide in zip(images, guides, strict=True):
            difference = neighbours(image) - image.unsqueeze(2)
            distance = difference.float().square().sum(dim=1)
            logits = self.affinity(guide).float() - self.log_contrast.exp() * distance
            affinities.append(logits.softmax(dim=1))
        return affinities


def build_prompt(
    head: nn.Module, prompt: dict | None, channels: int, feat_channels: int
) -> PromptFusion | None:
    """Build the prompt of a head, after all its other layers.

    Args:
        head: Head of metric depth.
        prompt: Config, such as ``dict(type='PromptFusion')``; None for none.
        channels: See :class:`PromptFusion`.
        feat_channels: See :class:`PromptFusion`.

    Raises:
        ValueError: If the head predicts something other than metres, with which points cannot be
            compared.
    """
    if prompt is None:
        return None
    if head.prediction_type != 'metric':
        raise ValueError(
            f'{type(head).__name__} takes no prompt: it predicts {head.prediction_type}, and '
            'points are in metres; take the metric head of the method'
        )
    fusion = MODELS.build(dict(prompt, channels=channels, feat_channels=feat_channels))
    if fusion.train_alone:
        head.requires_grad_(False)
    return fusion


def _shallow_network(in_channels: int, hidden_channels: int, out_channels: int) -> nn.Sequential:
    """Return three 3x3 convolutions with ReLUs between them, the last of which starts at zero."""
    last = _zero_conv(hidden_channels, out_channels)
    return nn.Sequential(
        nn.Conv2d(in_channels, hidden_channels, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(hidden_channels, hidden_channels, kernel_size=3, padding=1),
        nn.ReLU(),
        last,
    )


def _zero_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a 3x3 convolution that starts at zero."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv
