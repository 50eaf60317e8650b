"""Data preprocessor: batching, padding and normalisation on the device."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from depth.registry import MODELS
from depth.structures import LABEL_MAPS, RELATIVE_FIELDS, DepthDataSample

from .layers.canonical_camera import CameraCheck


@MODELS.register_module()
class DepthDataPreprocessor(BaseDataPreprocessor):
    """Batch BGR images on the device and normalise them to float32.

    Images whose sizes differ or are no multiple of ``pad_size_divisor`` are padded with zeros at
    the right and bottom after the normalisation; ground truth is padded with 0, which means "not
    measured", and so is ``sparse_depth``, in which 0 means "no point": to the batch's size in
    training, otherwise to the padded size that its image would have alone.

    Args:
        mean: Mean of each channel, in the order after ``bgr_to_rgb``, on the 0..255 scale.
        std: Standard deviation of each channel, likewise.
        bgr_to_rgb: Reverse the channels first.
        pad_size_divisor: Divisor of height and width of the batch.
        float_images: Images are float32 on the 0..255 scale instead of uint8, after a resize that
            keeps fractions and overshoots (:class:`~depth.datasets.transforms.ResizeShortSide`).

    Attributes:
        camera_check: Check of the cameras in every batch, set by estimators that use them.

    Raises:
        ValueError: If mean or std are not three numbers, std not positive; in ``forward`` if an
            image is not (3, H, W) uint8 (float32 with ``float_images``), or if ground truth to
            train on, or sparse depth, has another size than its image.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = True,
        pad_size_divisor: int = 1,
        float_images: bool = False,
    ) -> None:
        super().__init__(non_blocking=True)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(
                'DepthDataPreprocessor: mean and std are three numbers each, std above 0, got '
                f'{mean} and {std}'
            )
        if pad_size_divisor < 1:
            raise ValueError(
                f'DepthDataPreprocessor: pad_size_divisor is 1 or more, got {pad_size_divisor}'
            )
        self.camera_check: CameraCheck | None = None
        self.bgr_to_rgb = bgr_to_rgb
        self.pad_size_divisor = pad_size_divisor
        self.image_dtype = torch.float32 if float_images else torch.uint8
        # Not persistent: they come from the config, not from a checkpoint.
        self.register_buffer(
            'mean', torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer(
            'std', torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False
        )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``inputs`` (N, 3, H, W) float32 and ``data_samples`` on the model's device.

        Args:
            data: ``inputs``: images (3, H, W), as a list or stacked; ``data_samples``: list or
                None.
            training: Also pad every map of ground truth to the batch's size. If a sample has
                relative labels, all samples of the batch get the field, without values.

        In training, ``batch_input_shape`` of every sample is (H, W) of the batch. Otherwise it is
        the padded size that the image would have alone, so that an estimator can cut off padding
        that is due to larger images.

        Raises:
            ValueError: If an image has another shape or type than the pipelines give it.
        """
        # On the CPU, where reading numbers does not wait for the device.
        if self.camera_check is not None and data.get('data_samples') is not None:
            self.camera_check.check(data['data_samples'], training)
        data = self.cast_data(data)
        images = list(data['inputs'])
        samples = data.get('data_samples')
        for image in images:
            if image.ndim != 3 or image.shape[0] != 3 or image.dtype != self.image_dtype:
                raise ValueError(
                    f'an image of the batch has shape {tuple(image.shape)} and type {image.dtype}, '
                    f'expected (3, H, W) and {self.image_dtype}: normalisation happens here, not '
                    'in the pipeline'
                )
        height = self._round_up(max(image.shape[1] for image in images))
        width = self._round_up(max(image.shape[2] for image in images))
        # One kernel for the whole batch where sizes are equal, as in training.
        if len({image.shape for image in images}) == 1:
            inputs = _pad(self._normalize(torch.stack(images)), height, width)
        else:
            inputs = torch.cat(
                [_pad(self._normalize(image[None]), height, width) for image in images]
            )
        if samples is not None:
            if training:
                _check_gt_sizes(images, samples)
            for image, sample in zip(images, samples, strict=True):
                size = (height, width) if training else self._padded_size(image)
                sample.set_metainfo(dict(batch_input_shape=size))
                _pad_sparse_depth(image, sample, size)
                if training:
                    _pad_ground_truth(sample, height, width)
            if training:
                _complete_labels(samples)
        return dict(inputs=inputs, data_samples=samples)

    def denormalize(self, inputs: Tensor) -> Tensor:
        """Return normalised images (N, 3, H, W) as RGB on the 0..255 scale."""
        images = inputs * self.std + self.mean
        return images if self.bgr_to_rgb else images.flip(1)

    def normalize_rgb(self, images: Tensor) -> Tensor:
        """Undo :meth:`denormalize`."""
        return ((images if self.bgr_to_rgb else images.flip(1)) - self.mean) / self.std

    def _normalize(self, images: Tensor) -> Tensor:
        images = images.flip(1) if self.bgr_to_rgb else images
        return (images.float() - self.mean) / self.std

    def _round_up(self, length: int) -> int:
        # Minus floor of minus is the ceiling.
        return -(-length // self.pad_size_divisor) * self.pad_size_divisor

    def _padded_size(self, image: Tensor) -> tuple[int, int]:
        return self._round_up(image.shape[-2]), self._round_up(image.shape[-1])


def _check_gt_sizes(images: list[Tensor], samples: list[DepthDataSample]) -> None:
    """Refuse ground truth whose size differs from its image's.

    Padding it to the batch would misalign it.
    """
    for image, sample in zip(images, samples, strict=True):
        if 'gt_depth' in sample and sample.gt_depth.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                f'{sample.get("img_path", "a sample")}: gt_depth is {tuple(sample.gt_depth.shape)} '
                'but the image is '
                f'{tuple(image.shape[-2:])}; a train pipeline resizes both (Resize with '
                'resize_depth=True)'
            )


def _pad_sparse_depth(image: Tensor, sample: DepthDataSample, size: tuple[int, int]) -> None:
    """Pad the points of an image, if it has any, to ``size`` (height, width)."""
    if 'sparse_depth' not in sample:
        return
    if sample.sparse_depth.shape != image.shape[-2:]:
        raise ValueError(
            f'{sample.get("img_path", "a sample")}: sparse_depth is '
            f'{tuple(sample.sparse_depth.shape)} but the image is {tuple(image.shape[-2:])}'
        )
    sample.sparse_depth = _pad(sample.sparse_depth, *size)


def _pad_ground_truth(sample: DepthDataSample, height: int, width: int) -> None:
    for key in LABEL_MAPS:
        if key in sample:
            setattr(sample, key, _pad(sample.get(key), height, width))


def _complete_labels(samples: list[DepthDataSample]) -> None:
    """Give all samples the relative labels that one of them has, where missing without values."""
    for field in RELATIVE_FIELDS:
        if any(field in sample for sample in samples):
            for sample in samples:
                if field not in sample:
                    sample.set_field(torch.zeros_like(sample.gt_depth), field)


def _pad(tensor: Tensor, height: int, width: int) -> Tensor:
    return F.pad(tensor, (0, width - tensor.shape[-1], 0, height - tensor.shape[-2]))
