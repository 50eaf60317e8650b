"""Estimator of methods that predict depth in a canonical camera (Metric3D)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from depth.registry import MODELS
from depth.structures import DepthDataSample

from .depth_estimator import DepthEstimator
from .feature_channels import check_feature_channels


@MODELS.register_module()
class CanonicalDepthEstimator(DepthEstimator):
    """Metric depth from one image and its focal length.

    Samples need ``intrinsics``; without any samples, tensor mode gives canonical depth, or that of
    the head's ``default_intrinsics``. Images are padded with zeros at the right and bottom to
    multiples of the head's ``SIZE_DIVISOR``: unlike a resize, that keeps the focal length.

    Args:
        **kwargs: See :class:`DepthEstimator`.

    Reference: Metric3D, https://arxiv.org/abs/2307.10984
    """

    takes_camera = needs_camera = True
    supports_early_fusion = False

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        if self.neck is None:
            check_feature_channels(self.backbone, [], self.decode_head, {}, kwargs['decode_head'])

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """Return the features of the padded images."""
        divisor = self.decode_head.SIZE_DIVISOR
        height, width = inputs.shape[-2:]
        return super().extract_feat(F.pad(inputs, (0, -width % divisor, 0, -height % divisor)))

    def predict(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> list[DepthDataSample]:
        """Set the predictions, see :meth:`DepthEstimator.predict`.

        Raises:
            ValueError: If an image has no camera, before the network runs.
        """
        self.decode_head.camera.intrinsics(data_samples, inputs, self.training)
        return super().predict(inputs, data_samples)

    def _depth_of(self, outputs: dict[str, Tensor], size: Sequence[int]) -> Tensor:
        """Return the depth (N, 1, H, W) of a head's outputs, without padding."""
        height, width = size
        return outputs['depth'].float()[..., :height, :width]

    def _trained_depth(self, outputs: dict[str, Tensor], size: Sequence[int]) -> Tensor:
        """Return the same in training."""
        return self._depth_of(outputs, size)

    def _set_field(
        self,
        sample: DepthDataSample,
        name: str,
        values: Tensor,
        size: Sequence[int],
        ori_shape: Sequence[int],
    ) -> None:
        """Set a further prediction, at ``ori_shape``; normals are resized as published."""
        if name == 'normals':
            values = resize_normals(values, ori_shape)
        super()._set_field(sample, name, values, size, ori_shape)


def resize_normals(normals: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, 3, h, w) bilinearly to ``size``; corners are aligned, as published."""
    return F.interpolate(normals.float(), size=tuple(size), mode='bilinear', align_corners=True)
