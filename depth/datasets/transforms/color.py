"""Colour transforms: augmentations as look-up tables, jitter of pairs, strips of depth (CutDepth).

The augmentations of single images are functions of the byte, so each is one table look-up per
image, several times faster than arithmetic on floats.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torchvision.transforms.functional as TF
from mmcv.transforms import BaseTransform
from PIL import Image

from depth.registry import TRANSFORMS

from .geometry import get_rng


@TRANSFORMS.register_module()
class ColorAug(BaseTransform):
    """Random gamma, brightness and colour balance, as in BTS.

    ``value ** gamma * brightness * color[channel]`` on 0..255 values, clipped. The result is
    rounded to uint8, where the published code kept floating point values (at most half a grey level
    apart).

    Args:
        prob: Probability of the augmentation.
        gamma_range: Range of the exponent.
        brightness_range: Range of the common factor.
        color_range: Range of the factor of each channel.

    Reference: From Big to Small, https://arxiv.org/abs/1907.10326
    """

    def __init__(
        self,
        prob: float = 0.5,
        gamma_range: Sequence[float] = (0.9, 1.1),
        brightness_range: Sequence[float] = (0.9, 1.1),
        color_range: Sequence[float] = (0.9, 1.1),
    ) -> None:
        self.prob = prob
        self.gamma_range = tuple(gamma_range)
        self.brightness_range = tuple(brightness_range)
        self.color_range = tuple(color_range)

    def transform(self, results: dict) -> dict:
        """Change ``img``."""
        rng = get_rng(results)
        if rng.rand() < self.prob:
            gamma = rng.uniform(*self.gamma_range)
            brightness = rng.uniform(*self.brightness_range)
            table = self.table(gamma, brightness, rng.uniform(*self.color_range, size=3))
            results['img'] = cv2.LUT(results['img'], table)
        return results

    @staticmethod
    def table(gamma: float, brightness: float, color: np.ndarray) -> np.ndarray:
        """Return the uint8 look-up table (1, 256, 3) of one draw."""
        values = np.arange(256.0)[:, None] ** gamma * brightness * np.asarray(color)
        return np.rint(np.clip(values, 0, 255)).astype(np.uint8)[None]


_ADJUST = {
    'brightness': TF.adjust_brightness,
    'contrast': TF.adjust_contrast,
    'saturation': TF.adjust_saturation,
    'hue': TF.adjust_hue,
}


@TRANSFORMS.register_module()
class ColorJitterPair(BaseTransform):
    """Random brightness, contrast, saturation and hue, equal for both views of a pair.

    Sets ``clean_img`` and ``clean_other_img``, the views before the jitter, for the loss. The four
    changes come in random order.

    Args:
        prob: Probability of the jitter.
        brightness, contrast, saturation: Range of the factor.
        hue: Range of the shift, in turns.
    """

    def __init__(
        self,
        prob: float = 0.5,
        brightness: Sequence[float] = (0.8, 1.2),
        contrast: Sequence[float] = (0.8, 1.2),
        saturation: Sequence[float] = (0.8, 1.2),
        hue: Sequence[float] = (-0.1, 0.1),
    ) -> None:
        self.prob = prob
        self.ranges = dict(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)

    def transform(self, results: dict) -> dict:
        """Change ``img`` and ``other_img``."""
        rng = get_rng(results)
        results.update(clean_img=results['img'], clean_other_img=results['other_img'])
        if rng.rand() >= self.prob:
            return results
        names = list(self.ranges)
        factors = [rng.uniform(*self.ranges[name]) for name in names]
        # Drawn once, so that both views stay comparable for the photometric loss.
        steps = [(names[index], factors[index]) for index in rng.permutation(len(names))]
        for key in ('img', 'other_img'):
            results[key] = jitter(results[key], steps)
        return results


def jitter(img: np.ndarray, steps: Sequence[tuple[str, float]]) -> np.ndarray:
    """Apply changes (name, factor) to a BGR uint8 image (H, W, 3), in their order."""
    # torchvision adjusts RGB images of PIL, as the published code does.
    image = Image.fromarray(np.ascontiguousarray(img[..., ::-1]))
    for name, factor in steps:
        image = _ADJUST[name](image, float(factor))
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


@TRANSFORMS.register_module()
class RandomBrightnessContrast(BaseTransform):
    """Multiply by ``1 + contrast`` and add ``255 * brightness``; modifies ``img``.

    Ranges and meaning of this class, :class:`RandomGamma` and :class:`RandomHueSaturationValue` are
    those of the albumentations library's defaults, which the ScaleDepth recipe uses.

    Args:
        prob: Share of images that are changed.
        brightness: Largest change of brightness either way, as a share of full scale.
        contrast: Largest change of contrast either way.
    """

    def __init__(self, prob: float = 0.5, brightness: float = 0.2, contrast: float = 0.2) -> None:
        self.prob, self.brightness, self.contrast = prob, brightness, contrast

    def transform(self, results: dict) -> dict:
        """Draw the change and apply it by one table."""
        rng = get_rng(results)
        if rng.rand() < self.prob:
            factor = 1 + rng.uniform(-self.contrast, self.contrast)
            shift = 255 * rng.uniform(-self.brightness, self.brightness)
            results['img'] = cv2.LUT(results['img'], _to_bytes(np.arange(256) * factor + shift))
        return results


@TRANSFORMS.register_module()
class RandomGamma(BaseTransform):
    """Raise intensities, 0 to 1, to a random power; modifies ``img``.

    Args:
        prob: Share of images that are changed.
        gamma_range: Smallest and largest power.
    """

    def __init__(self, prob: float = 0.5, gamma_range: tuple[float, float] = (0.8, 1.2)) -> None:
        self.prob, self.gamma_range = prob, gamma_range

    def transform(self, results: dict) -> dict:
        """Draw the change and apply it by one table."""
        rng = get_rng(results)
        if rng.rand() < self.prob:
            gamma = rng.uniform(*self.gamma_range)
            table = _to_bytes(255 * (np.arange(256) / 255) ** gamma)
            results['img'] = cv2.LUT(results['img'], table)
        return results


@TRANSFORMS.register_module()
class RandomHueSaturationValue(BaseTransform):
    """Shift hue, saturation and value of the 8-bit HSV image; modifies ``img``.

    Args:
        prob: Share of images that are changed.
        hue: Largest shift either way, in units of 2 degrees (OpenCV's hue runs to 180).
        saturation: Largest shift either way, in grey levels.
        value: Likewise.
    """

    def __init__(
        self,
        prob: float = 0.5,
        hue: float = 20,
        saturation: float = 30,
        value: float = 20,
    ) -> None:
        self.prob, self.limits = prob, (hue, saturation, value)

    def transform(self, results: dict) -> dict:
        """Draw the three shifts and apply one table per channel."""
        rng = get_rng(results)
        if rng.rand() < self.prob:
            hue, saturation, value = [rng.uniform(-limit, limit) for limit in self.limits]
            levels = np.arange(256)
            # Hue is an angle in units of 2 degrees and wraps at 180; the others are clipped.
            columns = [np.mod(levels + hue, 180), levels + saturation, levels + value]
            tables = _to_bytes(np.stack(columns, axis=-1))[None]  # (1, 256, 3)
            hsv = cv2.LUT(cv2.cvtColor(results['img'], cv2.COLOR_BGR2HSV), tables)
            results['img'] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        return results


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@TRANSFORMS.register_module()
class DepthStripMix(BaseTransform):
    """Overwrite a full-height strip of the image with stored depth values (vertical CutDepth).

    Reads ``gt_depth``, modifies ``img``.

    Args:
        prob: Share of images that are changed.
        largest: Largest width of the strip, as a share of the columns right of its start.

    Raises:
        ValueError: If ground truth has another size than the image.

    Reference: Global-Local Path Networks, https://arxiv.org/abs/2201.07436
    """

    def __init__(self, prob: float = 0.25, largest: float = 0.75) -> None:
        self.prob, self.largest = prob, largest

    def transform(self, results: dict) -> dict:
        """Draw the strip and overwrite it in all channels.

        Raises:
            ValueError: If ground truth and image differ in size.
        """
        rng = get_rng(results)
        shape = results['img'].shape[:2]
        depth_shape = results['gt_depth'].shape
        if shape != depth_shape:
            raise ValueError(
                f'DepthStripMix: gt_depth is {depth_shape[0]}x{depth_shape[1]}, the image '
                f'{shape[0]}x{shape[1]}; put it in front of a Resize with resize_depth=False',
            )
        if rng.rand() < self.prob:
            width = results['img'].shape[1]
            left = int(rng.rand() * width)
            strip = slice(left, left + max(int((width - left) * rng.rand() * self.largest), 1))
            # Stored integers of up to 16 bits wrap around 256 in the 8-bit image, as published.
            stored = np.rint(results['gt_depth'][:, strip] * results['depth_scale'])
            stored = stored.astype(np.int64) % 256
            # A copy: the image may be a view of an array that a cache keeps.
            results['img'] = results['img'].copy()
            results['img'][:, strip] = stored[..., None].astype(np.uint8)
        return results
