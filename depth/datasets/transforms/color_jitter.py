"""Brightness, contrast, saturation and hue, drawn once for all views of a scene."""

from collections.abc import Sequence

import numpy as np
import torchvision.transforms.functional as TF
from mmcv.transforms import BaseTransform
from PIL import Image

from depth.registry import TRANSFORMS

from .random import get_rng

_ADJUST = {
    'brightness': TF.adjust_brightness,
    'contrast': TF.adjust_contrast,
    'saturation': TF.adjust_saturation,
    'hue': TF.adjust_hue,
}


@TRANSFORMS.register_module()
class ColorJitterPair(BaseTransform):
    """With a probability change the colours of both views alike; keeps the un-jittered views for the loss.

    Sets ``clean_img`` and ``clean_other_img``, changed or not. The four changes come in random order.

    Args:
        prob: Probability.
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
        factors = {name: rng.uniform(*bounds) for name, bounds in self.ranges.items()}
        steps = [(name, factors[name]) for name in np.array(list(factors))[rng.permutation(len(factors))]]
        for key in ('img', 'other_img'):
            results[key] = jitter(results[key], steps)
        return results


def jitter(img: np.ndarray, steps: Sequence[tuple[str, float]]) -> np.ndarray:
    """Return a BGR uint8 image (H, W, 3) after changes (name, factor), in their order."""
    picture = Image.fromarray(np.ascontiguousarray(img[..., ::-1]))
    for name, factor in steps:
        picture = _ADJUST[name](picture, float(factor))
    return np.ascontiguousarray(np.asarray(picture)[..., ::-1])
