import itertools

import numpy as np
import pytest

from depth.evaluation.statistics import (
    bootstrap_mean,
    compare_paired,
    sign_flip_p_value,
    student_interval,
    student_quantile,
)


@pytest.fixture
def values():
    return np.random.RandomState(0).gamma(2.0, 0.05, 400)


def test_the_interval_is_scipys_and_near_the_normal_approximation(values):
    stats = pytest.importorskip('scipy.stats')
    actual = bootstrap_mean(values, num_resamples=9999)
    rng = np.random.RandomState(1)
    scipys = stats.bootstrap(
        (values,), np.mean, method='percentile', n_resamples=9999, random_state=rng
    )
    width = actual.high - actual.low
    assert actual.mean == values.mean()
    assert actual.low == pytest.approx(scipys.confidence_interval.low, abs=0.03 * width)
    assert actual.high == pytest.approx(scipys.confidence_interval.high, abs=0.03 * width)
    assert width == pytest.approx(2 * 1.96 * values.std() / np.sqrt(len(values)), rel=0.05)


def test_the_same_seed_gives_the_same_interval_and_constants_give_a_point(values):
    assert bootstrap_mean(values, 500, seed=3) == bootstrap_mean(values, 500, seed=3)
    assert bootstrap_mean(values, 500, seed=3) != bootstrap_mean(values, 500, seed=4)
    constant = bootstrap_mean(np.full(10, 0.25), 100)
    assert (constant.mean, constant.low, constant.high) == (0.25, 0.25, 0.25)


def test_few_images_are_permuted_exactly():
    differences = np.array([0.3, 0.1, -0.2, 0.4, 0.25])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product([1, -1], repeat=5)]
    expected = np.mean([total >= abs(differences.sum()) - 1e-12 for total in sums])
    assert sign_flip_p_value(differences) == pytest.approx(expected)
    assert sign_flip_p_value(np.zeros(5)) == 1


def test_many_images_agree_with_scipy(values):
    stats = pytest.importorskip('scipy.stats')
    differences = values[:60] - values[60:120]
    actual = sign_flip_p_value(differences, num_resamples=9999)
    expected = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type='samples',
        n_resamples=9999,
        random_state=np.random.RandomState(0),
    ).pvalue
    assert actual == pytest.approx(expected, abs=0.02)


def test_a_paired_comparison_sees_what_separate_intervals_hide(values):
    better = values * 0.97
    actual = compare_paired(values, better, num_resamples=2000)
    assert actual.first.low < actual.second.mean  # the intervals overlap widely
    assert actual.difference.high < 0
    assert actual.difference.mean == pytest.approx(-0.03 * values.mean())
    assert actual.p_value < 0.01
    assert actual.wins == 1


def test_two_equal_models_do_not_differ(values):
    actual = compare_paired(values, values, num_resamples=200)
    assert (actual.difference.low, actual.difference.high, actual.p_value, actual.wins) == (
        0,
        0,
        1,
        0.5,
    )


def test_what_cannot_be_compared_is_refused(values):
    with pytest.raises(ValueError, match='same images'):
        compare_paired(values, values[:-1])
    with pytest.raises(ValueError, match='N above 0'):
        bootstrap_mean(np.array([]))


@pytest.mark.parametrize(
    ('level', 'degrees', 'expected'),
    # Of printed tables of Student's distribution.
    [(0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 9, 2.262), (0.99, 4, 4.604), (0.9, 30, 1.697)],
)
def test_quantiles_are_those_of_students_table(level, degrees, expected):
    assert student_quantile(level, degrees) == pytest.approx(expected, abs=5e-4)


def test_the_interval_of_few_values_is_scipys():
    stats = pytest.importorskip('scipy.stats')
    values = np.array([0.131, 0.128, 0.140, 0.125])
    actual = student_interval(values, level=0.9)
    low, high = stats.t.interval(0.9, 3, loc=values.mean(), scale=stats.sem(values))
    assert (actual.mean, actual.low, actual.high) == pytest.approx((values.mean(), low, high))
    with pytest.raises(ValueError, match='two values or more'):
        student_interval(values[:1])
