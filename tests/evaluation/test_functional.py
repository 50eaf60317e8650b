import numpy as np
import pytest
import torch

from depth.evaluation import ALL_METRIC_NAMES, METRIC_NAMES, depth_metrics
from depth.evaluation.functional import (
    MOMENTS,
    combine_moments,
    depth_moments,
    metrics_from_moments,
)


@pytest.fixture
def images():
    """Three images of one size with different numbers of valid pixels, and offsets that differ between images."""
    rng = np.random.RandomState(0)
    target = rng.uniform(1, 9, (3, 6, 7))
    pred = target * np.array([0.7, 1.1, 1.6])[:, None, None] * rng.uniform(0.9, 1.1, target.shape)
    mask = rng.rand(3, 6, 7) < np.array([0.2, 0.5, 0.9])[:, None, None]
    return torch.from_numpy(pred), torch.from_numpy(target), torch.from_numpy(mask)


def test_only_the_usual_metrics_unless_extra_is_asked_for():
    target = torch.rand(4, 5) + 1
    assert tuple(depth_metrics(target, target)) == METRIC_NAMES
    assert tuple(depth_metrics(target, target, extra=True)) == ALL_METRIC_NAMES


def test_extra_metrics_by_hand():
    metrics = depth_metrics(torch.tensor([2.0, 10.0]), torch.tensor([4.0, 9.0]), extra=True)
    inverse = np.array([1000 / 2 - 1000 / 4, 1000 / 10 - 1000 / 9])  # 1/km
    assert metrics['imae'] == pytest.approx(np.abs(inverse).mean())
    assert metrics['irmse'] == pytest.approx(np.sqrt((inverse**2).mean()))
    assert metrics['d0.5'] == 0.5  # 10 / 9 is below 1.118, 4 / 2 is not


def test_pixel_averages_are_the_metrics_of_all_pixels_as_one_set(images):
    pred, target, mask = images
    metrics = metrics_from_moments(combine_moments(depth_moments(*images), 'pixel'))
    expected = depth_metrics(pred[mask], target[mask], extra=True)
    for name, value in expected.items():
        assert float(metrics[name]) == pytest.approx(value, rel=1e-9), name


def test_image_averages_of_squares(images):
    moments = depth_moments(*images)
    metrics = metrics_from_moments(combine_moments(moments, 'image_square'))
    singles = [depth_metrics(*(tensor[index] for tensor in images)) for index in range(3)]
    assert float(metrics['rmse']) == pytest.approx(
        np.sqrt(np.mean([single['rmse'] ** 2 for single in singles]))
    )
    assert float(metrics['abs_rel']) == pytest.approx(
        np.mean([single['abs_rel'] for single in singles])
    )


def test_other_definitions_of_silog_and_log10(images):
    moments = depth_moments(*images)
    usual, other = (
        metrics_from_moments(moments),
        metrics_from_moments(moments, silog='variance', log10='ln'),
    )
    assert torch.allclose(other['silog'], (usual['silog'] / 100).square())
    assert torch.allclose(other['log10'], usual['log10'] * np.log(10))


def test_an_image_without_ground_truth_gets_zeros_and_harms_no_other(images):
    pred, target, mask = images
    alone = depth_moments(pred[1:2], target[1:2], mask[1:2])
    mask[0] = False
    pred[0] = torch.nan
    moments = depth_moments(pred, target, mask)
    assert tuple(moments) == MOMENTS
    for name, values in moments.items():
        assert values[0] == 0, name
        assert torch.equal(values[1:2], alone[name]), name


def test_bad_predictions_are_counted_where_they_count(images):
    pred, target, mask = images
    mask[0] = False
    mask[0, 0] = True
    pred[0, 0, :3] = torch.tensor([0.0, -1.0, torch.inf])
    pred[0, 1, 0] = torch.nan
    assert depth_moments(pred, target, mask)['bad'].tolist() == [3, 0, 0]


def test_sums_are_accumulated_in_double():
    target = torch.full((1, 1_000_000), 3.0)
    metrics = depth_metrics(target + 1e-3, target)
    assert metrics['rmse'] == pytest.approx(float(torch.tensor(3.001)) - 3, rel=1e-9)
