"""Colour augmentation in one pass over the bytes."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .random import get_rng


@TRANSFORMS.register_module()
class ColorAug(BaseTransform):
    """Random gamma, brightness and colour balance with a probability, as in BTS.

    ``value ** gamma * brightness * color[channel]`` on 0..255 values, clipped. It is a function of the byte, so it is
    applied as a table; the result is rounded to uint8, where the published code kept floating point values (at most
    half a grey level apart).

    Args:
        prob: Probability.
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
            gamma, brightness = rng.uniform(*self.gamma_range), rng.uniform(*self.brightness_range)
            table = self.table(gamma, brightness, rng.uniform(*self.color_range, size=3))
            results['img'] = cv2.LUT(results['img'], table)
        return results

    @staticmethod
    def table(gamma: float, brightness: float, color: np.ndarray) -> np.ndarray:
        """Return the uint8 look-up table (1, 256, 3)."""
        values = np.arange(256.0)[:, None] ** gamma * brightness * np.asarray(color)
        return np.rint(np.clip(values, 0, 255)).astype(np.uint8)[None]
