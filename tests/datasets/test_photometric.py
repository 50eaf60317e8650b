"""Photometric augmentations against the arithmetic that they tabulate."""

import colorsys

import numpy as np
import pytest

from depth.datasets.transforms import (
    RandomBrightnessContrast,
    RandomGamma,
    RandomHueSaturationValue,
)


class Fixed:
    """Random numbers that are told."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def rand(self):
        return 0.0

    def uniform(self, low, high):
        draw = self.draws.pop(0)
        assert low <= draw <= high
        return draw


def image(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)


def test_brightness_and_contrast():
    actual = RandomBrightnessContrast().transform(dict(img=image(), rng=Fixed(0.15, -0.1)))['img']
    expected = np.clip(np.rint(image() * 1.15 - 25.5), 0, 255)
    assert np.array_equal(actual, expected)


def test_gamma():
    actual = RandomGamma().transform(dict(img=image(), rng=Fixed(1.2)))['img']
    assert np.abs(actual - 255 * (image() / 255) ** 1.2).max() <= 0.5001


def test_hue_saturation_value():
    actual = RandomHueSaturationValue().transform(dict(img=image(), rng=Fixed(10, -20, 15)))['img']
    errors = []
    for before, after in zip(image().reshape(-1, 3) / 255, actual.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before[::-1])
        shifted = (
            (hue + 20 / 360) % 1,
            np.clip(saturation - 20 / 255, 0, 1),
            np.clip(value + 15 / 255, 0, 1),
        )
        errors.append(np.abs(255 * np.array(colorsys.hsv_to_rgb(*shifted))[::-1] - after).max())
    assert max(errors) < 8  # hue has 180 steps only, saturation 256
    assert np.mean(errors) < 3


@pytest.mark.parametrize(
    'transform', [RandomBrightnessContrast, RandomGamma, RandomHueSaturationValue]
)
def test_the_share_of_changed_images_and_the_source(transform):
    source = image()
    changed = 0
    rng = np.random.RandomState(0)
    for _ in range(200):
        results = transform(prob=0.3).transform(dict(img=source, rng=rng))
        changed += results['img'] is not source
        assert results['img'].dtype == np.uint8
    assert np.array_equal(source, image())
    assert 40 <= changed <= 80
    assert transform(prob=0.0).transform(dict(img=source, rng=rng))['img'] is source
