import numpy as np
import pytest

from depth.evaluation.baselines import best_constant, best_map, mean_abs_rel


def slow_mean_abs_rel(pred, depths):
    per_image = []
    for depth in depths:
        valid = depth > 0
        per_image.append(
            np.mean((np.abs(np.float64(pred) - depth) / np.where(valid, depth, 1))[valid])
        )
    return np.mean(per_image)


@pytest.fixture
def depths():
    rng = np.random.RandomState(0)
    depths = rng.uniform(1, 9, (5, 4, 6)).astype(np.float32)
    depths[rng.rand(*depths.shape) < 0.2] = 0
    depths[:, 0, 0] = 0
    return depths


def test_no_other_constant_is_better(depths):
    best = slow_mean_abs_rel(best_constant(depths), depths)
    candidates = np.concatenate([depths[depths > 0], np.linspace(0.5, 10, 400)])
    assert best <= min(slow_mean_abs_rel(candidate, depths) for candidate in candidates) + 1e-9


def test_no_other_value_of_a_pixel_is_better(depths):
    best = best_map(depths)
    reference = slow_mean_abs_rel(best, depths)
    for row, column in [(1, 2), (3, 5), (2, 0)]:
        for candidate in np.linspace(0.5, 10, 60):
            changed = best.copy()
            changed[row, column] = candidate
            assert reference <= slow_mean_abs_rel(changed, depths) + 1e-9


def test_mean_abs_rel_is_the_mean_over_images_of_the_mean_over_pixels(depths):
    depths[2] = 0
    scored = depths[[0, 1, 3, 4]]
    prediction = np.linspace(1, 8, 24).reshape(4, 6)
    assert mean_abs_rel(prediction, depths) == pytest.approx(
        slow_mean_abs_rel(prediction, scored), rel=1e-6
    )


def test_a_pixel_that_nobody_measured_gets_the_constant(depths):
    assert best_map(depths)[0, 0] == np.float32(best_constant(depths))


def test_without_ground_truth_there_is_no_baseline():
    with pytest.raises(ValueError, match='no pixel'):
        best_constant(np.zeros((2, 3, 3), np.float32))
