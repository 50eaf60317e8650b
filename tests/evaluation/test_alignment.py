import numpy as np
import pytest
import torch

from depth.evaluation.alignment import align, masked_median


@pytest.fixture
def maps():
    rng = np.random.RandomState(0)
    pred, target = rng.uniform(0.5, 9, (2, 3, 7, 8))
    return (
        torch.from_numpy(pred),
        torch.from_numpy(target),
        torch.from_numpy(rng.rand(3, 7, 8) < 0.6),
    )


def test_median_is_numpys_for_odd_and_even_counts(maps):
    _, target, mask = maps
    mask[0] = False
    mask[0, 0, :4] = True
    mask[1] = False
    mask[1, 2, 1:4] = True
    actual = masked_median(target.flatten(1), mask.flatten(1))
    expected = [
        np.median(values[where]) for values, where in zip(target.numpy(), mask.numpy(), strict=True)
    ]
    assert actual.tolist() == pytest.approx(expected)


def test_median_alignment_makes_the_medians_equal(maps):
    pred, target, mask = maps
    actual = align(pred, target, mask, 'median')
    for index in range(3):
        assert np.median(actual[index][mask[index]]) == pytest.approx(
            np.median(target[index][mask[index]])
        )
        assert float((actual[index] / pred[index]).std()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('method', ['scale', 'inverse_scale', 'scale_shift', 'inverse_scale_shift'])
def test_least_squares_is_numpys(maps, method):
    pred, target, mask = maps
    actual = align(pred, target, mask, method)
    for index in range(3):
        where = mask[index].numpy()
        columns = [pred[index].numpy()] + ([np.ones((7, 8))] if method.endswith('shift') else [])
        matrix = np.stack([column[where] for column in columns], axis=1)
        solution = np.linalg.lstsq(matrix, target[index].numpy()[where], rcond=None)[0]
        expected = sum(factor * column for factor, column in zip(solution, columns, strict=True))
        assert actual[index].numpy() == pytest.approx(expected, rel=1e-9)


def test_a_constant_prediction_becomes_the_mean(maps):
    _, target, mask = maps
    actual = align(torch.full_like(target, 0.1), target, mask, 'scale_shift')
    expected = [
        values[where].mean() for values, where in zip(target.numpy(), mask.numpy(), strict=True)
    ]
    assert actual[:, 0, 0].tolist() == pytest.approx(expected)
