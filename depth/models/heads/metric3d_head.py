"""Metric3D v2 head: depth and normals in a canonical camera, refined by recurrent convolutions.

Reference: Metric3D v2, https://arxiv.org/abs/2404.15506; the recurrent updates are those of
RAFT-Stereo, https://arxiv.org/abs/2109.07547.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.canonical_camera import CanonicalCamera
from ..losses.metric3d_loss import (
    depth_normal_consistency_loss,
    depth_sequence_loss,
    normal_sequence_loss,
    plane_loss,
    random_depth_ranges,
    random_rectangles,
    region_loss,
    sky_sequence_loss,
    virtual_normal_loss,
)
from .base_depth_head import BaseDepthHead, stack_labels

# Published constants: state value = (depth - max_depth) / STATE_SCALE.
STATE_SCALE = 100.0
NUM_BINS = 256
NORMAL_CHANNELS = 128
MIN_KAPPA = 0.01
UPSAMPLING = 4  # from the state's stride to pixels


class TokenReadout(nn.Module):
    """Mix the class and register tokens into the patch tokens: GELU(W patch + V prefix).

    Args:
        channels: Channels D of the tokens.
        num_prefix_tokens: Number P of class and register tokens.
    """

    def __init__(self, channels: int, num_prefix_tokens: int) -> None:
        super().__init__()
        self.patch = nn.Linear(channels, channels)
        self.prefix = nn.Linear(num_prefix_tokens * channels, channels, bias=False)

    def forward(self, feat: Tensor, prefix: Tensor) -> Tensor:
        """Map patches (N, D, h, w) and prefix tokens (N, P, D) to (N, D, h, w)."""
        patches = self.patch(feat.permute(0, 2, 3, 1))
        shared = self.prefix(prefix.flatten(1))[:, None, None]
        return F.gelu(patches + shared).permute(0, 3, 1, 2).contiguous()


class ReluResidual(nn.Module):
    """Residual unit ``y + conv(relu(conv(y)))`` of y = relu(x).

    The published ReLU works in place, so that the skip connection carries relu(x), not x.

    Args:
        channels: Channels C of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        feat = feat.relu()
        return feat + self.conv2(self.conv1(feat).relu())


class FusionBlock(nn.Module):
    """Fusion block: add a skip connection, refine, enlarge and project.

    Args:
        in_channels: Channels C of both inputs.
        out_channels: Channels of the output.
        with_skip: Whether there is a skip connection.
    """

    def __init__(self, in_channels: int, out_channels: int, with_skip: bool = True) -> None:
        super().__init__()
        self.trunk = ReluResidual(in_channels)
        self.branch = ReluResidual(in_channels) if with_skip else None
        self.project = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(
        self, feat: Tensor, skip: Tensor | None = None, size: Sequence[int] | None = None
    ) -> Tensor:
        """Map ``feat`` and ``skip`` (N, C, h, w) to (N, C_out, H, W), of ``size`` if given."""
        if skip is not None:
            feat = feat + self.branch(skip)
        feat = self.trunk(feat)
        return self.project(feat if size is None else _resize(feat, size))


class ContextBlock(nn.Module):
    """Residual block with channel LayerNorms, then a 3x3 convolution.

    Args:
        in_channels: Channels of the input.
        channels: Channels C of the output.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1)
        self.norm1 = LayerNorm2d(channels, eps=1e-5)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.norm2 = LayerNorm2d(channels, eps=1e-5)
        self.skip = nn.Conv2d(in_channels, channels, kernel_size=1)
        self.skip_norm = LayerNorm2d(channels, eps=1e-5)
        self.project = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C_in, h, w) to (N, C, h, w)."""
        residual = self.norm1(self.conv1(feat)).relu()
        residual = self.norm2(self.conv2(residual)).relu()
        return self.project((residual + self.skip_norm(self.skip(feat))).relu())


class ConvGRU(nn.Module):
    """Convolutional GRU whose gates also get a context that is computed once an image.

    Args:
        hidden_channels: Channels C of the hidden state.
        in_channels: Channels of the input.
    """

    def __init__(self, hidden_channels: int, in_channels: int) -> None:
        super().__init__()
        channels = hidden_channels + in_channels
        self.update = nn.Conv2d(channels, hidden_channels, kernel_size=3, padding=1)
        self.reset = nn.Conv2d(channels, hidden_channels, kernel_size=3, padding=1)
        self.candidate = nn.Conv2d(channels, hidden_channels, kernel_size=3, padding=1)

    def forward(self, hidden: Tensor, context: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Return the next hidden state (N, C, h, w).

        Args:
            hidden: Hidden state (N, C, h, w).
            context: Summands (N, C, h, w) of the update gate, the reset gate and the candidate.
            inputs: (N, C_in, h, w).
        """
        update_context, reset_context, candidate_context = context
        both = torch.cat([hidden, inputs], dim=1)
        update = (self.update(both) + update_context).sigmoid()
        reset = (self.reset(both) + reset_context).sigmoid()
        both = torch.cat([reset * hidden, inputs], dim=1)
        candidate = (self.candidate(both) + candidate_context).tanh()
        return (1 - update) * hidden + update * candidate


class RecurrentUpdate(nn.Module):
    """Three coupled GRUs at strides 4, 7 and 14 that correct depth, normals and confidences.

    Args:
        channels: Hidden channels C of every GRU.
    """

    STATE_CHANNELS = 6

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gru4 = ConvGRU(channels, self.STATE_CHANNELS + channels)
        self.gru7 = ConvGRU(channels, 2 * channels)
        self.gru14 = ConvGRU(channels, channels)
        self.depth_delta = _conv_pair(channels, channels, 2)
        self.normal_delta = _conv_pair(channels, channels, 4)
        self.mask = _conv_pair(channels, channels, 9 * UPSAMPLING**2, last_kernel=1)

    def forward(
        self, hidden: list[Tensor], contexts: Sequence[Sequence[Tensor]], state: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Run one iteration: the coarse GRU three times, the middle one twice, the fine one once.

        Args:
            hidden: Hidden states (N, C, h, w), finest first.
            contexts: Gate summands of each level, see :class:`ConvGRU`.
            state: (N, 6, h, w) at stride 4.

        Returns:
            The next hidden states, the state's correction (N, 6, h, w) and the logits
            (N, 144, h, w) of its convex upsampling.
        """
        fine, middle, coarse = hidden
        coarse = self._coarse(coarse, contexts[2], middle)
        coarse = self._coarse(coarse, contexts[2], middle)
        middle = self._middle(middle, contexts[1], fine, coarse)
        coarse = self._coarse(coarse, contexts[2], middle)
        middle = self._middle(middle, contexts[1], fine, coarse)
        inputs = torch.cat([state, _resize(middle, fine.shape[-2:])], dim=1)
        fine = self.gru4(fine, contexts[0], inputs)
        delta = torch.cat([self.depth_delta(fine), self.normal_delta(fine)], dim=1)
        # The factor balances the gradients of the mask, as in RAFT.
        return [fine, middle, coarse], delta, 0.25 * self.mask(fine)

    def _coarse(self, coarse: Tensor, context: Sequence[Tensor], middle: Tensor) -> Tensor:
        return self.gru14(coarse, context, _halve(middle))

    def _middle(
        self, middle: Tensor, context: Sequence[Tensor], fine: Tensor, coarse: Tensor
    ) -> Tensor:
        size = middle.shape[-2:]
        inputs = torch.cat([_resize(_halve(fine), size), _resize(coarse, size)], dim=1)
        return self.gru7(middle, context, inputs)


@MODELS.register_module()
class Metric3DHead(BaseDepthHead):
    """Metric3D v2 head: canonical depth and surface normals from transformer tokens.

    The network sees depth as a camera of focal length ``canonical_focal`` would have it; depth in
    metres is ``canonical depth * f / canonical_focal`` with the focal length f of the network's
    input. The backbone gives (map, prefix tokens) of one block, which is used four times (S and L),
    or of four blocks (giant2), for images whose sides are multiples of 28.

    Args:
        in_channels: Channels D of the block, or of the four blocks, all the same.
        feature_channels: Channels of the levels at strides 4 and 7; the one at stride 14 has D.
        hidden_channels: Channels of the recurrent states.
        num_iters: Number of recurrent iterations.
        num_prefix_tokens: Number P of class and register tokens.
        canonical_focal: Focal length of the canonical camera, in pixels.
        canonical_range: Nearest and farthest canonical depth, in metres.
        default_intrinsics: K (3, 3) of the network's input, in pixels, for images without a camera
            in eval mode: bare tensors and samples without ``intrinsics``.
        sequence_weight: Factor of the loss on depth and confidence of every iteration.
        virtual_normal_weight: Factor of the virtual normal loss.
        range_weight: Factor of the normalised loss on random depth ranges.
        rectangle_weight: Factor of the normalised loss on random rectangles.
        normal_weight: Factor of the loss on normals of every iteration.
        consistency_weight: Factor of the loss between normals and the normals of the depth.
        sky_weight: Factor of the loss that moves the sky to the far end, on every iteration.
        plane_weight: Factor of the loss that makes labelled planes plane.
        num_ranges: Number of random depth ranges an image.
        num_rectangles: Number of random rectangles an image.
        sample_ratio: Share of the pixels that are drawn as corners of virtual triangles.
        detach_depth: Whether the consistency loss trains the normals alone.
        min_depth: Near end of predicted depth, in metres.
        max_depth: Far end of predicted depth, in metres; beyond it nothing is labelled either.

    Raises:
        ValueError: If the blocks differ in width or are neither one nor four, or a range is empty.

    Reference: Metric3D v2, https://arxiv.org/abs/2404.15506
    """

    SIZE_DIVISOR = 28  # so that strides 14, 7 and 4 have whole sizes
    canonical_conflict = 'it has a canonical camera of its own'
    map_names = ('confidence', 'normals')

    def __init__(
        self,
        in_channels: Sequence[int] = (384,),
        feature_channels: Sequence[int] = (96, 192),
        hidden_channels: int = 48,
        num_iters: int = 4,
        num_prefix_tokens: int = 5,
        *,
        canonical_focal: float = 1000.0,
        canonical_range: Sequence[float] = (0.1, 200.0),
        default_intrinsics: Sequence[Sequence[float]] | None = None,
        sequence_weight: float = 0.5,
        virtual_normal_weight: float = 1.0,
        range_weight: float = 0.5,
        rectangle_weight: float = 0.5,
        normal_weight: float = 1.0,
        consistency_weight: float = 0.01,
        sky_weight: float = 0.001,
        plane_weight: float = 1.0,
        num_ranges: int = 10,
        num_rectangles: int = 20,
        sample_ratio: float = 0.2,
        detach_depth: bool = True,
        min_depth: float = 1e-3,
        max_depth: float = 300.0,
    ) -> None:
        super().__init__(min_depth=min_depth, max_depth=max_depth, align_corners=False)
        if len(in_channels) not in (1, 4) or len(set(in_channels)) != 1:
            raise ValueError(
                'Metric3DHead: in_channels is the width of one block or the same width four times, '
                f'got {list(in_channels)}'
            )
        near, far = canonical_range
        if not 0 < near < far:
            raise ValueError(
                f'Metric3DHead: canonical_range is empty or touches zero: {near}, {far}'
            )
        if num_iters < 1:
            raise ValueError(f'Metric3DHead: num_iters is 1 or more, got {num_iters}')
        self.in_channels = list(in_channels)
        self.num_iters = num_iters
        self.near, self.far = float(near), float(far)
        self.camera = CanonicalCamera(canonical_focal, default_intrinsics, (min_depth, max_depth))
        self.weights = dict(
            sequence=sequence_weight,
            virtual_normal=virtual_normal_weight,
            range=range_weight,
            rectangle=rectangle_weight,
            normal=normal_weight,
            consistency=consistency_weight,
            sky=sky_weight,
            plane=plane_weight,
        )
        self.num_ranges, self.num_rectangles = num_ranges, num_rectangles
        self.sample_ratio = sample_ratio
        self.detach_depth = detach_depth

        channels = in_channels[0]
        stride4, stride7 = feature_channels
        self.readouts = nn.ModuleList(TokenReadout(channels, num_prefix_tokens) for _ in range(4))
        self.to_stride4 = nn.Conv2d(channels, stride4, kernel_size=1)
        self.to_stride7 = nn.ConvTranspose2d(channels, stride7, kernel_size=2, stride=2)
        self.fuse_coarse = FusionBlock(channels, channels, with_skip=False)
        self.fuse_middle = FusionBlock(channels, stride7)
        # The two further channels are the confidences of depth and normal.
        self.fuse_fine = FusionBlock(stride7, stride4 + 2)
        self.bin_logits = _conv_pair(stride4, NUM_BINS, NUM_BINS, last_kernel=1)
        self.normal_init = nn.Sequential(
            nn.Conv2d(stride4, NORMAL_CHANNELS, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(NORMAL_CHANNELS, NORMAL_CHANNELS, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(NORMAL_CHANNELS, NORMAL_CHANNELS, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(NORMAL_CHANNELS, 3, kernel_size=1),
        )
        level_channels = (stride4, stride7, channels)
        self.hidden_init = nn.ModuleList(
            ContextBlock(width, hidden_channels) for width in level_channels
        )
        self.contexts = nn.ModuleList(
            ContextBlock(width, hidden_channels) for width in level_channels
        )
        self.gate_contexts = nn.ModuleList(
            nn.Conv2d(hidden_channels, 3 * hidden_channels, kernel_size=3, padding=1)
            for _ in level_channels
        )
        self.update = RecurrentUpdate(hidden_channels)
        bins = torch.linspace(math.log(self.near), math.log(self.far), NUM_BINS).exp()
        self.register_buffer('bin_centers', bins.view(1, NUM_BINS, 1, 1), persistent=False)

    def forward(
        self,
        feats: Sequence[tuple[Tensor, Tensor]],
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor | list[Tensor]]:
        """Map (map (N, D, h, w), prefix tokens (N, P, D)) of one or four blocks to depth.

        Returns:
            At (14 h, 14 w): ``depth`` (N, 1) in metres, or canonical for bare tensors without
            ``default_intrinsics``; ``canonical_depth`` (N, 1);
            ``confidence`` (N, 1), raw, 1 is the best; ``normals`` (N, 3), of unit length, in camera
            axes; ``normal_kappa`` (N, 1), their concentration. In training also the lists
            ``depths`` (canonical), ``confidences`` and ``normal_list`` (N, 4) of the initial
            prediction and of every iteration.

        Raises:
            ValueError: If the blocks are not the configured ones, the grid is odd or an image has
                no camera.
        """
        fine, middle, coarse, state = self._decode(feats)
        hidden, contexts = [], []
        for level, feat in enumerate((fine, middle, coarse)):
            hidden.append(self.hidden_init[level](feat).tanh())
            context = self.gate_contexts[level](self.contexts[level](feat).relu())
            contexts.append(context.chunk(3, dim=1))

        states = []
        if self.training:
            states.append(_resize(state, [UPSAMPLING * length for length in state.shape[-2:]]))
        for iteration in range(self.num_iters):
            hidden, delta, mask_logits = self.update(hidden, contexts, state)
            state = state + delta
            if self.training or iteration == self.num_iters - 1:
                states.append(upsample_convex(state, mask_logits))

        depths = [self._canonical_depth(state) for state in states]
        normals = [normalize_normals(state[:, 2:].float()) for state in states]
        outputs = dict(
            depth=self.camera.to_metric(depths[-1], data_samples, self.training),
            canonical_depth=depths[-1],
            confidence=states[-1][:, 1:2],
            normals=normals[-1][:, :3],
            normal_kappa=normals[-1][:, 3:],
        )
        if self.training:
            confidences = [state[:, 1:2] for state in states]
            outputs |= dict(depths=depths, confidences=confidences, normal_list=normals)
        return outputs

    def _decode(self, feats: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
        """Return context features at strides 4, 7 and 14 and the initial state (N, 6, h, w)."""
        if len(feats) != len(self.in_channels):
            raise ValueError(
                f'Metric3DHead: {len(self.in_channels)} blocks are configured (in_channels), the '
                f'backbone gives {len(feats)}'
            )
        if any(isinstance(feat, Tensor) for feat in feats):
            raise ValueError(
                'Metric3DHead: the backbone gives maps without class and register tokens, set '
                'backbone.prefix_tokens=True'
            )
        height, width = feats[0][0].shape[-2:]
        if height % 2 or width % 2:
            raise ValueError(
                f'Metric3DHead: the grid of {height}x{width} patches is odd; image sides are '
                f'multiples of {self.SIZE_DIVISOR}'
            )
        blocks = list(feats) * (4 // len(feats))
        maps = [readout(*block) for readout, block in zip(self.readouts, blocks, strict=True)]
        size4 = (height * 7 // 2, width * 7 // 2)
        fine = self.to_stride4(F.interpolate(maps[0].float(), size=size4, mode='nearest'))
        # The published residual units change their inputs in place: what the context branches see
        # of strides 7 and 14 has passed a ReLU.
        middle = self.to_stride7(maps[1]).relu()
        coarse = maps[2].relu()
        fused = self.fuse_coarse(maps[3])
        fused = self.fuse_middle(fused, coarse, size=middle.shape[-2:])
        fused = self.fuse_fine(fused, middle, size=size4)
        features, confidences = fused[:, :-2], fused[:, -2:].float()
        probs = self.bin_logits(features).float().softmax(dim=1)
        depth = (probs * self.bin_centers).sum(dim=1, keepdim=True).clamp(self.near, self.far)
        normal = torch.cat([self.normal_init(features).float(), confidences[:, 1:]], dim=1)
        value = (depth - self.far) / STATE_SCALE
        state = torch.cat([value, confidences[:, :1], normalize_normals(normal)], dim=1)
        return fine, middle, coarse, state

    def _canonical_depth(self, state: Tensor) -> Tensor:
        """Return canonical depth (N, 1, H, W) in metres of states (N, 6, H, W)."""
        return (state[:, :1].float() * STATE_SCALE + self.far).clamp(self.near, self.far)

    def further_maps(self, outputs: dict[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Return ``confidence`` (N, 1, H, W) and ``normals`` (N, 3, H, W), cut to ``size``."""
        height, width = size
        return {name: outputs[name][..., :height, :width] for name in self.map_names}

    def loss(
        self,
        outputs: dict[str, Tensor | list[Tensor]],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the published losses by name, those of factor 0 left out.

        Depth is compared in the canonical camera. Normals come from the samples that have
        ``normals``; the other images do not count in the loss on normals. The losses on sky and
        planes appear in batches of which a sample has ``gt_sky`` or ``gt_planes``.

        Args:
            outputs: Result of :meth:`forward` in training mode, at least as large as ``gt_depth``.
            gt_depth: (N, 1, H, W) in metres, 0 = no ground truth.
            data_samples: One per image, with ``intrinsics``.

        Raises:
            ValueError: If a sample has no ``intrinsics``.
        """
        height, width = gt_depth.shape[-2:]
        depths = [depth[..., :height, :width] for depth in outputs['depths']]
        confidences = [item[..., :height, :width] for item in outputs['confidences']]
        normals = [normal[..., :height, :width] for normal in outputs['normal_list']]
        intrinsics = self.camera.intrinsics(data_samples, gt_depth, self.training)
        target = self.camera.to_canonical(gt_depth, intrinsics)
        mask = (gt_depth > 0) & (gt_depth <= self.max_depth)
        mask = mask & (target >= self.near) & (target <= self.far)
        weights = self.weights
        losses = {}
        if weights['sequence']:
            losses['sequence'] = depth_sequence_loss(depths, confidences, target, mask)
        if weights['virtual_normal']:
            losses['virtual_normal'] = virtual_normal_loss(
                depths[-1], target, mask, intrinsics, self.sample_ratio
            )
        if weights['range']:
            regions = random_depth_ranges(target, mask, self.num_ranges)
            losses['range'] = region_loss(depths[-1], target, regions)
        if weights['rectangle']:
            regions = random_rectangles(mask, self.num_rectangles)
            losses['rectangle'] = region_loss(depths[-1], target, [*regions, mask])
        if weights['normal']:
            gt_normals = stack_normals(data_samples, gt_depth)
            losses['normal'] = normal_sequence_loss(normals, gt_normals)
        if weights['consistency']:
            depth = depths[-1].detach() if self.detach_depth else depths[-1]
            losses['consistency'] = depth_normal_consistency_loss(
                normals[-1][:, :3], depth, mask, intrinsics
            )
        if weights['sky'] and _has_labels(data_samples, 'gt_sky'):
            sky = stack_labels(data_samples, 'gt_sky', gt_depth) > 0
            losses['sky'] = sky_sequence_loss(depths, normals, sky, self.far)
        if weights['plane'] and _has_labels(data_samples, 'gt_planes'):
            planes = stack_labels(data_samples, 'gt_planes', gt_depth)
            losses['plane'] = plane_loss(depths[-1], planes, intrinsics)
        return {f'loss_{name}': weights[name] * value for name, value in losses.items()}


def _has_labels(data_samples: Sequence[DepthDataSample] | None, field: str) -> bool:
    """Return whether a sample of the batch has a map of labels."""
    return any(field in sample for sample in data_samples or ())


def normalize_normals(raw: Tensor) -> Tensor:
    """Map (x, y, z, k) (N, 4, h, w) to a unit normal and its concentration elu(k) + 1.01."""
    # The square root of 0 has no gradient; the published code adds 1e-10 behind it instead.
    norm = raw[:, :3].square().sum(dim=1, keepdim=True).clamp(min=1e-20).sqrt() + 1e-10
    kappa = F.elu(raw[:, 3:]) + 1 + MIN_KAPPA
    return torch.cat([raw[:, :3] / norm, kappa], dim=1)


def upsample_convex(state: Tensor, mask_logits: Tensor) -> Tensor:
    """Upsample (N, C, h, w) by 4: each fine pixel is a convex mean of 3x3 coarse neighbours.

    Neighbours outside the map are 0.

    Args:
        state: (N, C, h, w).
        mask_logits: (N, 9 * 16, h, w): the nine neighbours, row by row, of each of the 16 pixels.

    Returns:
        (N, C, 4 h, 4 w), in float32.
    """
    count, channels, height, width = state.shape
    weights = mask_logits.float().view(count, 1, 9, UPSAMPLING**2, height, width).softmax(dim=2)
    neighbours = F.unfold(state.float(), kernel_size=3, padding=1)
    neighbours = neighbours.view(count, channels, 9, 1, height, width)
    fine = (weights * neighbours).sum(dim=2).flatten(1, 2)  # (N, C * 16, h, w)
    return F.pixel_shuffle(fine, UPSAMPLING)


def stack_normals(data_samples: Sequence[DepthDataSample], gt_depth: Tensor) -> Tensor:
    """Return the labelled normals (N, 3, H, W) of the samples, 0 where there are none."""
    none = gt_depth.new_zeros(3, *gt_depth.shape[-2:])
    return torch.stack([sample.get('normals', none) for sample in data_samples])


def _conv_pair(
    in_channels: int, channels: int, out_channels: int, last_kernel: int = 3
) -> nn.Sequential:
    """Return a 3x3 convolution, a ReLU and a second convolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, out_channels, last_kernel, padding=last_kernel // 2),
    )


def _resize(feat: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, C, h, w) bilinearly with ``align_corners=True``, in float32 as published."""
    return F.interpolate(feat.float(), size=tuple(size), mode='bilinear', align_corners=True)


def _halve(feat: Tensor) -> Tensor:
    """Average (N, C, h, w) over 3x3 pixels with stride 2; the zeros of the border count."""
    return F.avg_pool2d(feat, kernel_size=3, stride=2, padding=1)
