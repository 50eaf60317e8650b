"""Metrics and protocols of depth completion, against definitions written out pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from depth.evaluation import PIXEL_METRICS, DepthMetric, get_protocol


def measure(protocol, pairs, **options):
    metric = DepthMetric(protocol=protocol, **options)
    samples = []
    for index, (pred, target) in enumerate(pairs):
        samples.append(
            dict(
                pred_depth=torch.tensor(pred),
                gt_depth=torch.tensor(target),
                img_path=f'{index}.png',
                prediction_type='metric',
            )
        )
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def by_hand(pred, target):
    """Return the server's four metrics of one image: mm, mm, 1/km, 1/km."""
    errors, inverse_errors = [], []
    for p, g in zip(pred.ravel().tolist(), target.ravel().tolist(), strict=True):
        if g > 0:
            errors.append((p - g) * 1000)
            inverse_errors.append(1 / (p / 1000) - 1 / (g / 1000))

    def root(values):
        return math.sqrt(sum(value**2 for value in values) / len(values))

    def mean(values):
        return sum(map(abs, values)) / len(values)

    return dict(
        rmse_mm=root(errors),
        mae_mm=mean(errors),
        irmse=root(inverse_errors),
        imae=mean(inverse_errors),
    )


def test_kitti_metrics_are_those_of_the_development_kit():
    rng = np.random.RandomState(0)
    pairs = []
    for share in (0.3, 0.9):  # unequal numbers of pixels: the mean is over images
        # Far beyond any cap, and near every border: all of it counts.
        target = (rng.rand(6, 9) * 120 + 1).astype(np.float32)
        target[rng.rand(6, 9) > share] = 0
        pairs.append(((target + 1) * (0.8 + 0.4 * rng.rand(6, 9)).astype(np.float32), target))
    actual = measure('kitti_completion', pairs, pixel_metrics=['rmse_mm', 'mae_mm'])
    for name in ('rmse_mm', 'mae_mm', 'irmse', 'imae'):
        expected = np.mean([by_hand(*pair)[name] for pair in pairs])
        assert actual[name] == pytest.approx(expected, rel=1e-5), name
    assert actual['rmse_mm'] == pytest.approx(1000 * actual['rmse'])


def test_one_metre_too_far_has_closed_values():
    target = np.array([[1.0, 4.0], [0.0, 9.0]], np.float32)
    actual = measure(
        'kitti_completion', [(target + 1, target)], pixel_metrics=['rmse_mm', 'mae_mm']
    )
    assert actual['rmse_mm'] == pytest.approx(1000)
    assert actual['mae_mm'] == pytest.approx(1000)
    inverse = [1000 * (1 / g - 1 / (g + 1)) for g in (1, 4, 9)]
    assert actual['imae'] == pytest.approx(sum(inverse) / 3)
    assert actual['irmse'] == pytest.approx(math.sqrt(sum(value**2 for value in inverse) / 3))


def test_nyu_counts_every_pixel():
    target = np.array([[0.2, 3.0], [0.0, 12.0]], np.float32)
    actual = measure('nyu_completion_500', [(target * 1.3 + (target == 0), target)])
    assert actual['abs_rel'] == pytest.approx(0.3, rel=1e-5)
    assert actual['rmse'] == pytest.approx(0.3 * math.sqrt((0.04 + 9 + 144) / 3), rel=1e-5)
    assert (actual['d1'], actual['d2']) == (0, 1)


def test_both_protocols_are_registered_for_their_data():
    assert get_protocol('kitti_completion').datasets == ('kitti_completion',)
    assert get_protocol('nyu_completion_500').datasets == ('nyu',)
    assert {'rmse_mm', 'mae_mm'} <= set(PIXEL_METRICS)
