import numpy as np
import pytest
import torch

from depth.evaluation import DepthMetric
from depth.evaluation.detail import bin_names, boundary_counts, boundary_metrics, check_bins


def counts(pred, target, mask=None, ratio=1.5):
    pred, target = (
        torch.tensor([pred], dtype=torch.float32),
        torch.tensor([target], dtype=torch.float32),
    )
    mask = target > 0 if mask is None else torch.tensor([mask])
    return boundary_counts(pred, target, mask, ratio)[0].tolist()


STEP = [[1, 1, 4, 4], [1, 1, 4, 4]]


def test_a_step_at_the_same_place_is_found_whatever_the_unit():
    assert counts(STEP, STEP) == [2, 2, 2]
    assert counts((np.array(STEP) * 0.01).tolist(), STEP) == [2, 2, 2]


def test_a_step_one_pixel_beside_or_the_other_way_round_is_not_the_same():
    assert counts([[1, 1, 1, 4], [1, 1, 1, 4]], STEP) == [2, 2, 0]
    assert counts([[4, 4, 1, 1], [4, 4, 1, 1]], STEP) == [2, 2, 0]


def test_edges_beside_missing_ground_truth_do_not_count():
    assert counts(STEP, [[1, 0, 4, 4], [1, 1, 4, 4]]) == [1, 1, 1]


def test_horizontal_edges_count_too_and_a_slope_below_the_ratio_does_not():
    assert counts([[1, 1], [2, 2]], [[1, 1], [2, 2]]) == [2, 2, 2]
    assert counts([[1, 1], [2, 2]], [[1, 1], [2, 2]], ratio=2.0) == [0, 0, 0]


def test_precision_recall_and_f1_by_hand():
    metrics = boundary_metrics(torch.tensor([[4.0, 2, 1], [0, 3, 0], [0, 0, 0]]))
    assert metrics['boundary_precision'][0] == 0.25
    assert metrics['boundary_recall'][0] == 0.5
    assert metrics['boundary_f1'][0] == pytest.approx(1 / 3)
    assert metrics['boundary_precision'][1].isnan()
    assert metrics['boundary_recall'][1] == 0
    assert all(value[2].isnan() for value in metrics.values())


def test_bins_have_names_and_must_grow():
    assert bin_names(check_bins([0, 2.5, 10])) == ['0-2.5m', '2.5-10m']
    for edges in ([1], [2, 1], [1, 1]):
        with pytest.raises(ValueError, match='distance_bins'):
            check_bins(edges)


def test_the_metric_reports_bins_and_edges_over_the_images_that_have_them():
    near = dict(
        gt_depth=torch.full((4, 6), 2.0), pred_depth=torch.full((4, 6), 3.0), img_path='a.png'
    )
    far = dict(
        gt_depth=torch.full((4, 6), 8.0), pred_depth=torch.full((4, 6), 4.0), img_path='b.png'
    )
    far['gt_depth'][:, 3:] = 2
    far['pred_depth'][:, 3:] = 2
    metric = DepthMetric('rooms_10', distance_bins=(0, 5, 10, 20), boundary_ratio=1.5)
    metric.process({}, [near, far])
    metrics = metric.evaluate(2)
    assert metrics['abs_rel_0-5m'] == pytest.approx((0.5 + 0) / 2)
    assert metrics['abs_rel_5-10m'] == pytest.approx(0.5)
    assert metrics['rmse_5-10m'] == pytest.approx(4)
    assert 'abs_rel_10-20m' not in metrics
    assert metrics['boundary_f1'] == 1
    assert metric.outcome[0].counts['abs_rel_5-10m'] == metric.outcome[0].counts['boundary_f1'] == 1


def test_a_ratio_that_makes_everything_an_edge_is_refused():
    with pytest.raises(ValueError, match='boundary_ratio'):
        DepthMetric('rooms_10', boundary_ratio=1.0)
