"""Metrics that projects register."""

import pytest
import torch

from depth.evaluation import (
    PIXEL_METRICS,
    DepthMetric,
    MixedDepthMetric,
    depth_metrics,
    register_pixel_metric,
)
from depth.evaluation.metric import metric_directions


@pytest.fixture(autouse=True)
def metrics(monkeypatch):
    """Register two metrics for a test: one with moments of its own, one that the toolbox's moments give."""
    for name in list(PIXEL_METRICS):
        monkeypatch.delitem(PIXEL_METRICS, name)

    @register_pixel_metric(moments=dict(fourth=lambda pred, target: (pred - target) ** 4 + 7))
    def root4(moments):
        return (moments['fourth'] - 7) ** 0.25

    @register_pixel_metric(higher_is_better=True)
    def negative_rmse(moments):
        return -moments['square'].sqrt()

    yield
    PIXEL_METRICS.clear()


def images():
    generator = torch.Generator().manual_seed(0)
    for index in range(3):
        gt_depth = torch.rand(12, 16, generator=generator) * 8 + 1
        gt_depth[: 3 * index] = 0
        pred = gt_depth * (1 + 0.2 * torch.rand(12, 16, generator=generator))
        yield dict(pred_depth=pred, gt_depth=gt_depth, img_path=f'{index}.png', dataset='rooms')


def run(metric):
    for sample in images():
        metric.process({}, [sample])
    return metric.evaluate(3)


def root4_of(pairs):
    errors = torch.cat([(pred.double() - gt)[gt > 0] for pred, gt in pairs])
    return (errors**4).mean().item() ** 0.25


def test_the_average_of_the_protocol_counts():
    pairs = [(sample['pred_depth'], sample['gt_depth']) for sample in images()]
    by_image = run(DepthMetric('rooms_10', pixel_metrics=['root4', 'negative_rmse', 'root4']))
    assert by_image['root4'] == pytest.approx(sum(root4_of([pair]) for pair in pairs) / 3, rel=1e-6)
    assert by_image['negative_rmse'] == pytest.approx(-by_image['rmse'])
    metric = DepthMetric('rooms_10', pixel_metrics=['root4'])
    metric.protocol = metric.protocol.modified(average='pixel')
    assert run(metric)['root4'] == pytest.approx(root4_of(pairs), rel=1e-6)


def test_only_evaluators_that_name_a_metric_measure_it():
    assert 'root4' not in run(DepthMetric('rooms_10'))
    usual = run(DepthMetric('rooms_10'))
    further = run(
        DepthMetric(
            'rooms_10', pixel_metrics=['root4'], distance_bins=(0, 5, 10), boundary_ratio=1.1
        )
    )
    assert usual == {name: further[name] for name in usual}
    assert 'boundary_f1' in further


def test_a_mixture_averages_it_over_the_data_sets():
    evaluator = MixedDepthMetric(dict(rooms=dict(protocol='rooms_10', pixel_metrics=['root4'])))
    values = run(evaluator)
    assert values['root4'] == values['rooms/root4']


def test_tables_and_files_have_it(tmp_path):
    metric = DepthMetric('rooms_10', protocols=['folder'], pixel_metrics=['negative_rmse'])
    run(metric)
    metric.write_per_image(tmp_path / 'per_image.json')
    assert '"negative_rmse"' in (tmp_path / 'per_image.json').read_text()


def test_directions_of_all_metrics():
    directions = metric_directions((0, 5, 10), 1.1, ['root4', 'negative_rmse'], ['folder'])
    higher = [name for name, is_better in directions.items() if is_better]
    assert {
        'd1',
        'd1_0-5m',
        'boundary_f1',
        'negative_rmse',
        'folder/d1',
        'folder/negative_rmse',
    } <= set(higher)
    assert not {'abs_rel', 'root4', 'rmse_0-5m', 'folder/root4'} & set(higher)
    metric = DepthMetric(
        'rooms_10',
        protocols=['folder'],
        distance_bins=(0, 5, 10),
        boundary_ratio=1.1,
        pixel_metrics=['root4', 'negative_rmse'],
    )
    assert set(run(metric)) == set(directions)


def test_names_that_are_taken_are_refused():
    def rmse(moments):
        return moments['square']

    def root4(moments):
        return moments['square']

    with pytest.raises(ValueError, match="'rmse' is one of DepthMetric itself"):
        register_pixel_metric()(rmse)
    with pytest.raises(ValueError, match="moment 'square' exists already"):
        register_pixel_metric(moments=dict(square=lambda pred, target: pred))
    root4.__module__ = 'elsewhere'
    with pytest.raises(ValueError, match="'root4' is registered by"):
        register_pixel_metric()(root4)


def test_wrong_shapes_are_refused():
    register_pixel_metric(moments=dict(total=lambda pred, target: (pred - target).sum()))(_total)
    with pytest.raises(
        ValueError, match=r"moment '_total.total' has shape \(\), expected \(1, 192\)"
    ):
        run(DepthMetric('rooms_10', pixel_metrics=['_total']))
    register_pixel_metric()(_of_all_images)
    with pytest.raises(
        ValueError, match=r"value of pixel metric '_of_all_images' has shape \(\), expected \(3,\)"
    ):
        run(DepthMetric('rooms_10', pixel_metrics=['_of_all_images']))


def _total(moments):
    return moments['total']


def _of_all_images(moments):
    return moments['square'].mean()


def test_unknown_names_are_answered():
    with pytest.raises(ValueError, match="unknown pixel metric 'root', did you mean root4"):
        DepthMetric('rooms_10', pixel_metrics=['root'])
    with pytest.raises(ValueError, match='a list of names'):
        DepthMetric('rooms_10', pixel_metrics='root4')


def test_the_usual_metrics_are_those_of_the_plain_function():
    usual = run(DepthMetric('rooms_10', pixel_metrics=['root4']))
    singles = [depth_metrics(sample['pred_depth'], sample['gt_depth']) for sample in images()]
    for name in singles[0]:
        assert usual[name] == pytest.approx(
            sum(single[name] for single in singles) / 3, rel=1e-9
        ), name
