"""Base class of depth heads: depth range, resize and loss."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from depth.export_mode import has_size
from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..losses.combined_loss import loss_terms


class BaseDepthHead(BaseModule, metaclass=ABCMeta):
    """Base class of heads that predict depth of each pixel, in metres unless they say otherwise.

    A subclass with another quantity in ``depth`` names it in ``prediction_type``; depth range and
    units below are then those of that quantity, and it overrides :meth:`clamp`.

    Args:
        min_depth: Near end of the depth range, in metres.
        max_depth: Far end of the depth range, in metres.
        align_corners: Convention of every bilinear resize of depth and features.
        loss_decode: Config of the loss on depth.

    Raises:
        ValueError: If the depth range is empty or touches zero.
    """

    prediction_type = 'metric'  # see depth.evaluation.PredictionType
    # Further predictions, without the ``pred_`` of the sample's field: normals, confidence, mask,
    # points or intrinsics.
    map_names: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        align_corners: bool = True,
        loss_decode: dict | None = None,
    ) -> None:
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ValueError(
                f'{type(self).__name__}: need 0 < min_depth < max_depth, got {min_depth} and {max_depth}'
            )
        self.min_depth, self.max_depth = float(min_depth), float(max_depth)
        self.align_corners = align_corners
        self.loss_decode = MODELS.build(loss_decode or dict(type='SILogLoss'))

    @abstractmethod
    def forward(
        self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Map features (N, C, h, w), finest first, to ``depth`` (N, 1, h, w) in metres and more."""

    def further_maps(self, outputs: dict[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Return the predictions of ``map_names``: maps (N, C, H, W) and intrinsics (N, 3, 3).

        Args:
            outputs: Result of :meth:`forward`.
            size: (H, W) of the network's input.
        """
        return {}

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses by name.

        Args:
            outputs: Result of :meth:`forward`.
            gt_depth: (N, 1, H, W) in metres, 0 = no ground truth.
            data_samples: For subclasses whose losses need more than depth.
        """
        depth = self.resize(outputs['depth'], gt_depth.shape[-2:])
        losses = self.decode_losses(depth, gt_depth, gt_depth > 0)
        return {f'loss_{name}': value for name, value in losses.items()}

    def decode_losses(self, depth: Tensor, gt_depth: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Return the value of ``loss_decode`` as ``depth``.

        A combined loss gives one ``depth_<name>`` a term.

        Args:
            depth: Predicted depth (N, 1, H, W), metres.
            gt_depth: Same shape, metres.
            mask: Boolean, same shape; True where ``gt_depth`` counts.
        """
        return loss_terms(self.loss_decode, depth, gt_depth, mask)

    def clamp(self, depth: Tensor) -> Tensor:
        """Clamp depth in metres to the depth range."""
        return depth.clamp(self.min_depth, self.max_depth)

    def resize(self, depth: Tensor, size: Sequence[int]) -> Tensor:
        """Resize depth (N, 1, h, w) bilinearly to ``size`` (H, W)."""
        if has_size(depth, size):
            return depth
        return F.interpolate(
            depth, size=tuple(size), mode='bilinear', align_corners=self.align_corners
        )
