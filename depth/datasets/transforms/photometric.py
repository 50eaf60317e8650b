"""Colour augmentations on bytes: each is a table or one pass over the image.

Ranges and meaning are those of the albumentations library's defaults, which the ScaleDepth recipe uses.
"""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .random import get_rng


@TRANSFORMS.register_module()
class RandomBrightnessContrast(BaseTransform):
    """Multiply by ``1 + contrast`` and add ``255 * brightness``; reads and modifies ``img``.

    Args:
        prob: Share of images that are changed.
        brightness: Largest change of brightness either way, as a share of full scale.
        contrast: Largest change of contrast either way.
    """

    def __init__(self, prob: float = 0.5, brightness: float = 0.2, contrast: float = 0.2) -> None:
        self.prob, self.brightness, self.contrast = prob, brightness, contrast

    def transform(self, results: dict) -> dict:
        """Draw, and change the image by one table."""
        rng = get_rng(results)
        if rng.rand() < self.prob:
            factor = 1 + rng.uniform(-self.contrast, self.contrast)
            shift = 255 * rng.uniform(-self.brightness, self.brightness)
            results['img'] = cv2.LUT(results['img'], _table(np.arange(256) * factor + shift))
        return results


@TRANSFORMS.register_module()
class RandomGamma(BaseTransform):
    """Raise brightness, 0 to 1, to a power; reads and modifies ``img``.

    Args:
        prob: Share of images that are changed.
        gamma_range: Smallest and largest power.
    """

    def __init__(self, prob: float = 0.5, gamma_range: tuple[float, float] = (0.8, 1.2)) -> None:
        self.prob, self.gamma_range = prob, gamma_range

    def transform(self, results: dict) -> dict:
        """Draw, and change the image by one table."""
        rng = get_rng(results)
        if rng.rand() < self.prob:
            gamma = rng.uniform(*self.gamma_range)
            results['img'] = cv2.LUT(results['img'], _table(255 * (np.arange(256) / 255) ** gamma))
        return results


@TRANSFORMS.register_module()
class RandomHueSaturationValue(BaseTransform):
    """Shift hue, saturation and value of the 8-bit HSV image; reads and modifies ``img``.

    Args:
        prob: Share of images that are changed.
        hue: Largest shift either way, in units of 2 degrees (OpenCV's hue runs to 180).
        saturation: Largest shift either way, in grey levels.
        value: Likewise.
    """

    def __init__(self, prob: float = 0.5, hue: float = 20, saturation: float = 30, value: float = 20) -> None:
        self.prob, self.limits = prob, (hue, saturation, value)

    def transform(self, results: dict) -> dict:
        """Draw, and change the image by one table a channel."""
        rng = get_rng(results)
        if rng.rand() < self.prob:
            hue, saturation, value = (rng.uniform(-limit, limit) for limit in self.limits)
            levels = np.arange(256)
            tables = np.stack([np.mod(levels + hue, 180), levels + saturation, levels + value], axis=-1)
            hsv = cv2.LUT(cv2.cvtColor(results['img'], cv2.COLOR_BGR2HSV), _table(tables)[None])
            results['img'] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        return results


def _table(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
