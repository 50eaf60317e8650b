"""Canonical camera of an estimator: depth scaled by the focal length, around any metric head.

Two images of one room, taken with focal lengths f and 2 f, show things at half the size in the
first. Without the focal length no network can tell the first from a room of twice the depth. A
canonical camera takes the focal length out: the network sees depth as a camera of one fixed focal
length would have it, and metres are that depth times f / focal.

References:
    Metric3D, https://arxiv.org/abs/2307.10984 (labels times focal / f, "CSTM_label")
    Depth Anything 3, https://arxiv.org/abs/2511.10647 (output times f / focal)
"""

import copy
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from depth.structures import DepthDataSample

from ..heads.base_depth_head import BaseDepthHead
from ..layers.canonical_camera import CameraCheck, CanonicalCamera

CANONICAL_OPTIONS = ('focal', 'focal_range', 'scaled')
SCALED = ('labels', 'output')


class CanonicalDepth(CanonicalCamera):
    """Option ``canonical_camera`` of an estimator: its head predicts depth of a canonical camera.

    The config of the head states its depth range in metres, as for any other model. The head is
    built with the range of canonical depth that covers it for all focal lengths of
    ``focal_range``: from min_depth * focal / largest to max_depth * focal / smallest. Depth in
    metres is clamped to the stated range. A head without a far end is built as it is.

    Args:
        decode_head: Config of the head.
        focal: Focal length of the canonical camera, in pixels.
        focal_range: Smallest and largest focal length in pixels of the network's input, of the
            images of training and use. Needed by heads with a far end, which could otherwise not
            reach it.
        scaled: ``'labels'``: the head is trained on canonical depth (Metric3D). ``'output'``: its
            depth is converted first and the loss compares metres (Depth Anything 3); for heads
            whose loss takes their depth and nothing else.

    Raises:
        ValueError: If an option is impossible or does not fit the head.
    """

    def __init__(
        self,
        decode_head: Mapping,
        focal: float,
        focal_range: Sequence[float] | None = None,
        scaled: str = 'labels',
    ) -> None:
        if isinstance(focal, bool) or not isinstance(focal, int | float):
            raise ValueError(f'model.canonical_camera.focal is a number of pixels, got {focal!r}')
        if scaled not in SCALED:
            raise ValueError(
                f'model.canonical_camera.scaled is {" or ".join(map(repr, SCALED))}, got {scaled!r}'
            )
        if focal_range is not None and (
            len(focal_range) != 2 or not 0 < focal_range[0] <= focal_range[1] < math.inf
        ):
            raise ValueError(
                'model.canonical_camera.focal_range is (smallest, largest) focal length in pixels, '
                f'got {focal_range}'
            )
        self.metric_range = (decode_head.get('min_depth'), decode_head.get('max_depth'))
        is_bounded = self.metric_range[1] is not None and math.isfinite(self.metric_range[1])
        if is_bounded and (focal_range is None or self.metric_range[0] is None):
            raise ValueError(
                'model.canonical_camera needs focal_range, and model.decode_head min_depth and '
                'max_depth: the head predicts depth up to max_depth * focal / f, so the smallest '
                'focal length f decides how far it has to reach'
            )
        super().__init__(focal, depth_range=self.metric_range if is_bounded else None)
        self.focal_range = None if focal_range is None else tuple(map(float, focal_range))
        self.scaled = scaled
        self.is_bounded = is_bounded

    def head_config(self, decode_head: Mapping) -> Mapping:
        """Return the head's config with range and limits of its losses in canonical metres."""
        if not self.is_bounded:
            return decode_head
        smallest, largest = self.focal_range
        config = copy.deepcopy(decode_head)
        config['min_depth'] = self.metric_range[0] * self.focal / largest
        config['max_depth'] = self.metric_range[1] * self.focal / smallest
        if self.scaled == 'labels':
            _scale_loss_limits(config, self.focal / smallest)
        return config

    def check_head(self, head: nn.Module) -> None:
        """Check that a head can predict canonical depth.

        Raises:
            ValueError: If it predicts no metres, has a conflicting camera or range, or a loss that
                ``scaled='output'`` cannot give metres.
        """
        name = type(head).__name__
        if not isinstance(head, BaseDepthHead) or head.prediction_type != 'metric':
            raise ValueError(f'model.canonical_camera: {name} does not predict depth in metres')
        if head.canonical_conflict is not None:
            raise ValueError(
                f'model.canonical_camera cannot be used with {name}: {head.canonical_conflict}'
            )
        if not self.is_bounded and math.isfinite(head.max_depth):
            raise ValueError(
                f'model.canonical_camera: {name} has the far end of {head.max_depth:g} m by '
                'default; state model.decode_head.min_depth and max_depth'
            )
        if self.scaled == 'output' and type(head).loss is not BaseDepthHead.loss:
            raise ValueError(
                f"model.canonical_camera.scaled='output': the loss of {name} takes more than its "
                "depth, so it has to be trained on scaled labels: scaled='labels'"
            )

    def camera_check(self) -> CameraCheck:
        """Return the check of the cameras of a batch."""
        return CameraCheck(self.focal_range if self.is_bounded else None)

    def losses(
        self,
        head: BaseDepthHead,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample],
        factors: Tensor,
    ) -> dict[str, Tensor]:
        """Return the losses of a head.

        Args:
            head: The head.
            outputs: Its outputs; depth is canonical.
            gt_depth: (N, 1, H, W) in metres, 0 = no ground truth.
            data_samples: One per image.
            factors: Metres to one canonical metre, (N, 1, 1, 1).
        """
        if self.is_bounded:
            # What is beyond the range in metres may lie inside of the wider canonical one.
            gt_depth = torch.where(gt_depth <= self.metric_range[1], gt_depth, 0)
        if self.scaled == 'output':
            metric = dict(outputs, depth=outputs['depth'].float() * factors)
            return head.loss(metric, gt_depth, data_samples)
        return head.loss(outputs, gt_depth / factors, data_samples)


def _scale_loss_limits(node: object, factor: float, below_loss: bool = False) -> None:
    """Multiply ``max_depth`` of all losses below a config by ``factor``, in place."""
    if isinstance(node, Mapping):
        if below_loss and node.get('max_depth') is not None:
            node['max_depth'] *= factor
        for key, value in node.items():
            _scale_loss_limits(value, factor, below_loss or key.startswith('loss'))
    elif isinstance(node, list | tuple):
        for value in node:
            _scale_loss_limits(value, factor, below_loss)
