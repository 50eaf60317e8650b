"""Estimator of Depth Pro: metric depth by a given or estimated focal length."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from depth.export_mode import has_size
from depth.registry import MODELS
from depth.structures import DepthDataSample

from .depth_estimator import DepthEstimator
from .test_time import check_whole_images

# Largest and smallest inverse depth, in 1/m.
INVERSE_RANGE = (1e-4, 1e4)
FOV_RANGE = (1.0, 179.0)  # degrees


@MODELS.register_module()
class DepthProEstimator(DepthEstimator):
    """Metric depth and focal length from one image.

    The image is stretched to the encoder's square input (bilinear, not antialiased). Depth is
    f / (W c) for the predicted canonical inverse depth c, the width W and the focal length f in
    pixels: that of the sample's camera, or of the predicted field of view.

    Args:
        backbone: Config of a :class:`~depth.models.backbones.DepthProEncoder`.
        decode_head: Config of a :class:`~depth.models.heads.DepthProHead`.
        data_preprocessor: Config of the preprocessor.
        train_cfg: No options.
        test_cfg: ``use_camera``: take the focal length of samples that have ``intrinsics``.

    Raises:
        ValueError: If options are unknown or impossible.

    Reference: https://arxiv.org/abs/2410.02073
    """

    TEST_OPTIONS = ('mode', 'flip', 'use_camera')
    takes_camera = True

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone,
            decode_head,
            data_preprocessor=data_preprocessor,
            train_cfg=train_cfg,
            test_cfg=dict(use_camera=True) | dict(test_cfg or {}),
        )
        check_whole_images(type(self).__name__, self.test_cfg)
        if list(self.decode_head.in_channels) != list(self.backbone.out_channels):
            raise ValueError(
                f'model.decode_head.in_channels is {list(self.decode_head.in_channels)}, but the '
                f'backbone gives {list(self.backbone.out_channels)}'
            )

    def extract_feat(self, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the encoder's features of the images stretched to its size."""
        size = (self.backbone.image_size, self.backbone.image_size)
        if not has_size(inputs, size):
            inputs = F.interpolate(inputs, size=size, mode='bilinear', align_corners=False)
        return self.backbone(inputs)

    def predict_depth(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> Tensor:
        """Return canonical inverse depth (N, 1, H, W) at the size of ``inputs``."""
        inverse_depth = self.decode_head(self.extract_feat(inputs))['inverse_depth']
        return _resize(inverse_depth, tuple(inputs.shape[-2:]))

    def predict_outputs(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return metric ``depth`` and ``intrinsics``."""
        samples = data_samples or [DepthDataSample() for _ in range(len(inputs))]
        self._predict_equal(inputs, samples)
        return dict(
            depth=torch.stack([sample.pred_depth for sample in samples]).unsqueeze(1),
            intrinsics=torch.stack([sample.pred_intrinsics for sample in samples]),
        )

    def _predict_equal(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> None:
        """Set the predictions of images of one size."""
        outputs = self.decode_head(self.extract_feat(inputs))
        for index, sample in enumerate(data_samples):
            focal = focal_from_fov(outputs['fov'][index])
            if self.test_cfg['use_camera'] and 'intrinsics' in sample:
                # A share of the width stays the same when the image is resized.
                focal = sample.intrinsics[0, 0] / inputs.shape[-1]
            size = tuple(sample.metainfo.get('ori_shape', inputs.shape[-2:]))
            depth = to_metric(outputs['inverse_depth'][index : index + 1], focal, size)
            sample.set_metainfo(dict(prediction_type=self.prediction_type, tta='none'))
            sample.pred_depth = depth[0, 0]
            sample.pred_intrinsics = _centered_camera(focal, size)


def focal_from_fov(fov: Tensor) -> Tensor:
    """Return the focal length as a share of the width, of a horizontal field of view in degrees."""
    return 0.5 / torch.tan(fov.clamp(*FOV_RANGE) * (math.pi / 180) / 2)


def to_metric(inverse_depth: Tensor, focal: Tensor, size: tuple[int, int]) -> Tensor:
    """Return depth (N, 1, H, W) in metres at ``size``.

    Args:
        inverse_depth: Canonical, (N, 1, h, w).
        focal: Focal length as a share of the width.
        size: (H, W) of the result.
    """
    return 1 / _resize(inverse_depth / focal, size).clamp(*INVERSE_RANGE)


def _centered_camera(focal: Tensor, size: tuple[int, int]) -> Tensor:
    """Return K (3, 3) in pixels, with square pixels and the principal point in the centre."""
    height, width = size
    intrinsics = torch.eye(3, device=focal.device)
    intrinsics[0, 0] = intrinsics[1, 1] = focal * width
    intrinsics[0, 2], intrinsics[1, 2] = (width - 1) / 2, (height - 1) / 2
    return intrinsics


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, 1, h, w) with half-pixel centres, as pipelines resize images."""
    if has_size(maps, size):
        return maps
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=False)
