"""Estimator of MoGe-2: network size from a number of tokens, metric camera from a point map."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from depth.export_mode import resize_antialiased
from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.affine_points import intrinsics_in_pixels, recover_focal_and_shift
from ..layers.surface_normals import back_project
from .depth_estimator import DepthEstimator, stack_gt_depth
from .test_time import check_whole_images


def token_grid(num_tokens: int, aspect: float) -> tuple[int, int]:
    """Return rows and columns of about ``num_tokens`` patches for an image of this aspect ratio.

    Args:
        num_tokens: Number of patches.
        aspect: Width / height of the image.
    """
    rows, columns = round(math.sqrt(num_tokens / aspect)), round(math.sqrt(num_tokens * aspect))
    return max(rows, 1), max(columns, 1)


@MODELS.register_module()
class MoGeEstimator(DepthEstimator):
    """Point map, metric depth, normals, mask and camera from one image.

    The network resizes the image (antialiased) to a grid of patches, so that any size fits.
    Predictions are metric: focal length and shift along z are recovered from the point map, and the
    shifted map is multiplied by the predicted scale.

    Args:
        backbone: Config of a plain ViT that returns pairs of map and prefix tokens.
        decode_head: Config of a :class:`~depth.models.heads.MoGeHead`.
        data_preprocessor: Config of the preprocessor.
        train_cfg: ``num_tokens_range``: smallest and largest number of patches, drawn for each
            step.
        test_cfg: ``num_tokens``: number of patches; ``use_camera``: take the focal length of
            samples that have ``intrinsics``, and recover the shift alone.

    Raises:
        ValueError: If options are unknown or impossible.

    Reference: https://arxiv.org/abs/2507.02546
    """

    TRAIN_OPTIONS = ('num_tokens_range',)
    TEST_OPTIONS = ('mode', 'flip', 'num_tokens', 'use_camera')
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
            train_cfg=dict(num_tokens_range=(1200, 3600)) | dict(train_cfg or {}),
            test_cfg=dict(num_tokens=3600, use_camera=True) | dict(test_cfg or {}),
        )
        check_whole_images(type(self).__name__, self.test_cfg)
        smallest, largest = self.train_cfg['num_tokens_range']
        if not 1 <= smallest <= largest or self.test_cfg['num_tokens'] < 1:
            raise ValueError(
                'the number of patches is 1 or more (num_tokens_range: smallest and largest), got '
                f'test_cfg.num_tokens {self.test_cfg["num_tokens"]} and train_cfg.num_tokens_range '
                f'{self.train_cfg["num_tokens_range"]}'
            )

    def extract_feat(self, inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return map and prefix tokens of each block taken, for the image resized to patches."""
        num_tokens = self.test_cfg['num_tokens']
        if self.training:
            smallest, largest = self.train_cfg['num_tokens_range']
            num_tokens = int(torch.randint(smallest, largest + 1, ()))
        return self.backbone(self.resize_to_tokens(inputs, num_tokens))

    def resize_to_tokens(self, inputs: Tensor, num_tokens: int) -> Tensor:
        """Resize images (N, 3, H, W) to about ``num_tokens`` patches, antialiased."""
        height, width = inputs.shape[-2:]
        rows, columns = token_grid(num_tokens, width / height)
        patch_height, patch_width = self.backbone.patch_size
        # Normalisation before the resize gives the same pixels: weights of the kernel sum to one.
        return resize_antialiased(inputs, (patch_height * rows, patch_width * columns))

    def loss(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> dict[str, Tensor]:
        """Return the head's losses against points of the ground truth."""
        gt_depth = stack_gt_depth(data_samples)
        self._check_labels(data_samples)
        outputs = self.predict_geometry(inputs)
        return self.decode_head.loss(outputs, gt_depth, data_samples)

    def predict_geometry(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the head's outputs at the size of ``inputs``, see ``MoGeHead.forward``."""
        return self.decode_head(self.extract_feat(inputs), tuple(inputs.shape[-2:]))

    def predict_depth(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> Tensor:
        """Return z (N, 1, H, W) of the affine point map: depth without scale and shift."""
        return self.predict_geometry(inputs)['points'][:, 2:]

    def predict_outputs(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return metric ``depth``, ``mask``, ``normals`` and ``intrinsics``."""
        samples = data_samples or [DepthDataSample() for _ in range(len(inputs))]
        self._predict_equal(inputs, samples)
        return dict(
            depth=torch.stack([sample.pred_depth for sample in samples]).unsqueeze(1),
            mask=torch.stack([sample.pred_mask for sample in samples]).unsqueeze(1),
            normals=torch.stack([sample.pred_normals for sample in samples]),
            intrinsics=torch.stack([sample.pred_intrinsics for sample in samples]),
        )

    def fixed_size_reason(self) -> str | None:
        """Return why an exported file has one size."""
        return 'the rows and columns of the patch grid follow from the aspect ratio by rounding'

    def _predict_equal(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> None:
        """Set the predictions of images of one size."""
        outputs = self.predict_geometry(inputs)
        metric = self.to_metric(
            outputs['points'],
            outputs['mask'],
            outputs['metric_scale'],
            self._known_focals(data_samples, tuple(inputs.shape[-2:])),
        )
        input_size = tuple(inputs.shape[-2:])
        cameras = intrinsics_in_pixels(metric['focal'], *input_size)
        for index, sample in enumerate(data_samples):
            size = tuple(sample.metainfo.get('ori_shape', inputs.shape[-2:]))
            depth = _resize(metric['depth'][index : index + 1], size)
            valid = _resize(metric['mask'][index : index + 1].float(), size) > 0.5
            normals = F.normalize(_resize(outputs['normals'][index : index + 1], size), dim=1)
            self._set_field(sample, 'intrinsics', cameras[index : index + 1], input_size, size)
            points = back_project(depth, sample.pred_intrinsics[None])
            sample.set_metainfo(dict(prediction_type=self.prediction_type, tta='none'))
            sample.pred_depth = depth[0, 0]
            sample.pred_mask = valid[0, 0]
            sample.pred_normals = torch.where(valid, normals, 0)[0]
            sample.pred_points = torch.where(valid, points, 0)[0]

    @staticmethod
    def to_metric(
        points: Tensor, mask: Tensor, metric_scale: Tensor, focal: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return metric depth, its mask and the focal length of an affine point map.

        Args:
            points: (N, 3, H, W), up to a shift along z.
            mask: Probability of a finite point, (N, 1, H, W).
            metric_scale: Metres per unit of the points, (N,).
            focal: (N,) in half diagonals where it is known, otherwise NaN.

        Returns:
            ``depth`` (N, 1, H, W) in metres, 0 behind the camera; ``mask`` (N, 1, H, W), boolean,
            True for finite points before the camera; ``focal`` (N,) in half diagonals.
        """
        is_finite = mask > 0.5
        focal, shift = recover_focal_and_shift(points, is_finite, focal)
        depth = (points[:, 2:] + shift.view(-1, 1, 1, 1)) * metric_scale.view(-1, 1, 1, 1)
        return dict(depth=depth.clamp(min=0), mask=is_finite & (depth > 0), focal=focal)

    def _known_focals(
        self, data_samples: list[DepthDataSample], size: tuple[int, int]
    ) -> Tensor | None:
        """Return the focal lengths (N,) of the samples' cameras in half diagonals, else NaN."""
        if not self.test_cfg['use_camera']:
            return None
        focals = []
        for sample in data_samples:
            has_camera = 'intrinsics' in sample
            focals.append(sample.intrinsics[0, 0] if has_camera else torch.tensor(torch.nan))
        device = self.decode_head.scale_head[0].weight.device
        return torch.stack([focal.to(device) for focal in focals]) * 2 / math.hypot(*size)


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (1, C, h, w) with half-pixel centres, as pipelines resize images."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size=size, mode='bilinear', align_corners=False)
