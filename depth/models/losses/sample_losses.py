"""Losses on the final depth of any head: ``extra_losses`` of an estimator."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.surface_normals import normals_from_depth, normals_from_planes
from .relative_depth_loss import ScaleShiftInvariantLoss, masked_mean

# Types of predictions whose values are inverse depth, see depth.evaluation.PredictionType.
INVERSE_TYPES = ('inverse_depth', 'disparity', 'affine_invariant_disparity')


class SampleLoss(nn.Module, metaclass=ABCMeta):
    """Base class of losses that read what they need from the samples, the images or the camera."""

    takes_relative_labels = False

    @abstractmethod
    def forward(
        self,
        depth: Tensor,
        data_samples: Sequence[DepthDataSample],
        inputs: Tensor,
        prediction_type: str,
    ) -> Tensor:
        """Return the weighted loss.

        Args:
            depth: Prediction (N, 1, H, W), float32, at the size of the images.
            data_samples: The batch's samples.
            inputs: Normalised images (N, 3, H, W).
            prediction_type: Quantity in ``depth``, see ``depth.evaluation.PredictionType``.
        """


@MODELS.register_module()
class RelativeLabelLoss(SampleLoss):
    """Scale-and-shift-invariant loss on the samples whose labels are relative.

    The comparison takes place in the labels' domain (depth or inverse depth), into which the
    prediction is converted. Samples of metric data sets in the same batch have no relative labels
    and do not count, as those with relative labels do not count in the head's losses: each sample
    is trained by what its data set says of its labels (``label_type``).

    Args:
        loss_weight: Factor of the loss.
        min_depth: Nearer predictions of depth count as this, in metres; their inverse would
            otherwise outweigh all other pixels.
        **kwargs: See :class:`ScaleShiftInvariantLoss`. With ``reduction='image'`` (the default) a
            sample counts by its share of the batch, whatever the number of its labels.

    Raises:
        ValueError: If ``min_depth`` is not positive.
    """

    takes_relative_labels = True

    def __init__(self, loss_weight: float = 1.0, min_depth: float = 0.1, **kwargs) -> None:
        super().__init__()
        if not min_depth > 0:
            raise ValueError(f'RelativeLabelLoss: min_depth is above 0 m, got {min_depth}')
        self.min_depth = min_depth
        self.loss = ScaleShiftInvariantLoss(loss_weight=loss_weight, **kwargs)

    def forward(
        self,
        depth: Tensor,
        data_samples: Sequence[DepthDataSample],
        inputs: Tensor,
        prediction_type: str,
    ) -> Tensor:
        """Return the weighted loss; 0 without gradient in a batch without relative labels."""
        is_inverse = prediction_type in INVERSE_TYPES
        domains = dict(gt_relative_depth=False, gt_relative_inverse_depth=True)
        total = depth.new_zeros(())
        for field, is_inverse_label in domains.items():
            if field in data_samples[0]:
                labels = torch.stack([sample.get(field) for sample in data_samples]).unsqueeze(1)
                values = depth if is_inverse == is_inverse_label else self._inverse(depth)
                total = total + self.loss(values, labels, labels > 0)
        return total

    def _inverse(self, values: Tensor) -> Tensor:
        return 1 / values.clamp(min=self.min_depth)


@MODELS.register_module()
class NormalLoss(SampleLoss):
    """Mean of 1 - cos of the angle between the normals of predicted and measured depth.

    Measured normals are ``normals`` of the sample where it has them, otherwise planes fitted to the
    valid pixels around each pixel. So holes and sparse labels are bridged where the surface is
    plane, and left out at edges of depth.

    Args:
        loss_weight: Factor of the loss.
        window: Odd side in pixels of the window of a plane.

    Raises:
        ValueError: If ``window`` is not odd and at least 3; in ``forward`` if a sample has no
            camera or the prediction is not metric.
    """

    def __init__(self, loss_weight: float = 1.0, window: int = 9) -> None:
        super().__init__()
        if window < 3 or window % 2 == 0:
            raise ValueError(f'NormalLoss: window is an odd number of at least 3, got {window}')
        self.loss_weight, self.window = loss_weight, window

    def forward(
        self,
        depth: Tensor,
        data_samples: Sequence[DepthDataSample],
        inputs: Tensor,
        prediction_type: str,
    ) -> Tensor:
        """Return the weighted loss; 0 without gradient where no normal is known.

        Raises:
            ValueError: If the prediction is not metric or a sample has no camera.
        """
        if prediction_type != 'metric':
            raise ValueError(f'NormalLoss: normals need metric depth, not {prediction_type}')
        for sample in data_samples:
            if 'intrinsics' not in sample:
                raise ValueError(
                    f'NormalLoss: {sample.get("img_path", "a sample")} has no camera (intrinsics)'
                )
        intrinsics = torch.stack([sample.intrinsics for sample in data_samples])
        with torch.autocast(depth.device.type, enabled=False):
            if 'normals' in data_samples[0]:
                target = torch.stack([sample.normals for sample in data_samples])
                mask = target.abs().sum(dim=1, keepdim=True) > 0
            else:
                gt_depth = torch.stack([sample.gt_depth for sample in data_samples]).unsqueeze(1)
                target, mask = normals_from_planes(gt_depth, intrinsics, self.window)
            normals = normals_from_depth(depth.clamp(min=1e-3), intrinsics)
            cosine = (normals * torch.where(mask, target, 0)).sum(dim=1, keepdim=True)
            return self.loss_weight * masked_mean(1 - cosine, mask).mean()
