"""Depth estimator whose network sees every image at its own size, as ZoeDepth does."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from depth.export_mode import has_size
from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.dpt_decoder import resize_corners
from .depth_estimator import DepthEstimator

SIDE_DIVISOR = 32  # pixels; the coarsest features have half of a grid of 16x16 patches


@MODELS.register_module()
class ZoeDepthEstimator(DepthEstimator):
    """Metric depth from an image that is resized inside the network.

    The batch is resized on the device, in floating point: bilinear, ``align_corners=True``, without
    antialiasing. Depth is resized back to the batch's size, so that ground truth stays as it is,
    and clamped to the depth range after that.

    Args:
        *args: As for :class:`DepthEstimator`.
        **kwargs: Likewise. ``train_cfg.network_size`` and ``test_cfg.network_size`` are (height,
            width) of the network's input, multiples of 32; training images are stretched to it.
            Further options of ``test_cfg``, with the values of the published evaluation as
            defaults: ``keep_ratio`` (False; True: a size of the image's shape, see
            :func:`network_size`), ``pad_input`` (False; True: a mirrored border, cut off after the
            network) and ``depth_resize``, from the network's size to the image's (``'bilinear'``
            with aligned corners; ``'bicubic'`` with half-pixel centres). The published inference on
            images is ``keep_ratio=True, pad_input=True, depth_resize='bicubic'``. Both have
            ``flip=True``.

    Raises:
        ValueError: If a size is missing or no multiple of 32, or ``depth_resize`` is unknown.

    Reference: ZoeDepth, https://arxiv.org/abs/2302.12288
    """

    TRAIN_OPTIONS = ('network_size',)
    TEST_OPTIONS = (
        *DepthEstimator.TEST_OPTIONS,
        'network_size',
        'keep_ratio',
        'pad_input',
        'depth_resize',
    )

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        defaults = dict(keep_ratio=False, pad_input=False, depth_resize='bilinear')
        self.test_cfg = defaults | self.test_cfg
        if self.test_cfg['depth_resize'] not in ('bilinear', 'bicubic'):
            raise ValueError(
                "model.test_cfg.depth_resize is 'bilinear' or 'bicubic', got "
                f'{self.test_cfg["depth_resize"]!r}'
            )
        for name, options in dict(train_cfg=self.train_cfg, test_cfg=self.test_cfg).items():
            size = options.get('network_size')
            if (
                not isinstance(size, Sequence)
                or len(size) != 2
                or any(length < 1 or length % SIDE_DIVISOR for length in size)
            ):
                raise ValueError(
                    f'model.{name}.network_size must be (height, width), multiples of '
                    f'{SIDE_DIVISOR}, got {size!r}'
                )

    def loss(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> dict[str, Tensor]:
        """Return the head's losses at the size of the ground truth."""
        return super().loss(resize_corners(inputs, self.train_cfg['network_size']), data_samples)

    def predict_depth(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> Tensor:
        """Return depth (N, 1, H, W) in metres of whole images, without the mirrored image."""
        pad_y = pad_x = 0
        if self.test_cfg['pad_input']:
            pad_y, pad_x = (border(length) for length in inputs.shape[-2:])
        padded = F.pad(inputs, (pad_x, pad_x, pad_y, pad_y), mode='reflect')
        depth = self.network_depth(padded, data_samples)
        if self.test_cfg['depth_resize'] == 'bilinear':
            depth = resize_corners(depth, padded.shape[-2:])
        elif not has_size(depth, padded.shape[-2:]):
            depth = F.interpolate(depth, size=padded.shape[-2:], mode='bicubic')
        height, width = inputs.shape[-2:]
        depth = self.decode_head.clamp(depth[..., pad_y : pad_y + height, pad_x : pad_x + width])
        return self.to_metres(depth, data_samples)

    def input_scale(self, size: Sequence[int]) -> tuple[float, float]:
        """Return the (vertical, horizontal) factor by which the network resizes a batch (H, W)."""
        height, width = size
        if self.training:
            network = self.train_cfg['network_size']
        else:
            if self.test_cfg['pad_input']:
                height, width = height + 2 * border(height), width + 2 * border(width)
            network = tuple(self.test_cfg['network_size'])
            if self.test_cfg['keep_ratio']:
                network = network_size((height, width), network)
        return network[0] / height, network[1] / width

    def fixed_size_reason(self) -> str | None:
        """Return the option of ``test_cfg`` that computes sizes in Python, if one is set."""
        for option in ('keep_ratio', 'pad_input'):
            if self.test_cfg[option]:
                return f'test_cfg.{option} derives sizes from that of the image by rounding'
        return None

    def network_depth(self, inputs: Tensor, data_samples: list[DepthDataSample] | None) -> Tensor:
        """Return the head's depth (N, 1, h, w) in metres, h and w the network's size."""
        size = tuple(self.test_cfg['network_size'])
        if self.test_cfg['keep_ratio']:
            size = network_size(inputs.shape[-2:], size)
        feats = self.extract_feat(resize_corners(inputs, size))
        return self.decode_head(feats, data_samples)['depth'].float()


def network_size(image_size: Sequence[int], target: Sequence[int]) -> tuple[int, int]:
    """Return the network's (height, width) for an image whose shape is kept.

    Of the two scales that give the height and the width of ``target``, the one nearer 1 is taken,
    and both sides are rounded to multiples of 32. Nothing bounds the result: small images are
    enlarged, and a panorama stays as wide as it is.

    Args:
        image_size: (height, width) in pixels.
        target: (height, width) in pixels.
    """
    scales = [aim / length for aim, length in zip(target, image_size, strict=True)]
    scale = min(scales, key=lambda value: abs(1 - value))  # that of the height if both are as near
    height, width = (
        max(round(scale * length / SIDE_DIVISOR), 1) * SIDE_DIVISOR for length in image_size
    )
    return height, width


def border(length: int) -> int:
    """Return the pixels of mirrored border at each end of a side: 3 sqrt(length / 2)."""
    # A mirrored border has to be narrower than the image.
    return min(int(3 * (length / 2) ** 0.5), length - 1)
