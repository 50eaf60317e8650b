"""Predictions that are no depth, under every kind of protocol."""

import json

import pytest
import torch

from depth.evaluation import PROTOCOLS, DepthMetric, MixedDepthMetric
from depth.evaluation.functional import batched_depth_metrics
from depth.evaluation.report import json_text

SIZE = (480, 640)
BAD = {
    'negative': -1.0,
    'zero': 0.0,
    'nan': torch.nan,
    'infinite': torch.inf,
    'minus infinity': -torch.inf,
}


def sample(value=None, kind='metric'):
    gt = 2 + 6 * torch.rand(SIZE, generator=torch.Generator().manual_seed(0))
    pred = gt.clone()
    if value is not None:
        pred[::4] = value
    return dict(
        pred_depth=pred,
        gt_depth=gt,
        img_path='b/7.png',
        dataset='nyu',
        prediction_type=kind,
        ori_cam_intrinsic=[[520.0, 0, 320], [0, 520, 240], [0, 0, 1]],
    )


def accepts(name, kind='metric'):
    protocol = PROTOCOLS[name]
    return protocol.accepts(kind) and protocol.view != 'kb_crop' and not protocol.filled


@pytest.mark.parametrize('name', [name for name in PROTOCOLS if accepts(name)])
def test_bad_predictions_are_refused_even_where_they_would_be_clamped(name):
    item = sample()
    rows = range(200, 450, 2)  # inside every crop
    for row, value in zip(rows, 25 * list(BAD.values()), strict=True):
        item['pred_depth'][row] = value
    limited = PROTOCOLS[name].limit_view(item['gt_depth'][None], [item])[0]
    scored = PROTOCOLS[name].valid_mask(limited)
    expected = f'{int(scored[list(rows)].sum())} of {int(scored.sum())}'
    metric = DepthMetric(name)
    metric.process({}, [item])
    with pytest.raises(
        ValueError, match=rf'b/7\.png: {expected} scored predictions are .* positive under {name}'
    ):
        metric.evaluate(1)


@pytest.mark.parametrize('value', BAD.values(), ids=BAD)
def test_further_protocols_check_what_the_first_does_not_count(value):
    """The first protocol was the only one that was checked; its crop leaves out what is wrong."""
    item = sample()
    item['pred_depth'][:44] = value
    metric = DepthMetric('nyu_eigen_10', protocols=['folder'])
    metric.process({}, [item])
    with pytest.raises(ValueError, match=r'b/7\.png: 28160 of 307200 .* under folder'):
        metric.evaluate(1)


@pytest.mark.parametrize('kind', ['inverse_depth', 'disparity'])
def test_a_negative_disparity_is_refused(kind):
    item = sample(kind=kind)
    item['pred_depth'] = 1 / item['pred_depth']
    item['pred_depth'][::4] = -0.1
    metric = DepthMetric('midas_disparity_lsq_10')
    metric.process({}, [item])
    with pytest.raises(ValueError, match=r'b/7\.png: \d+ of 307200 scored predictions'):
        metric.evaluate(1)


def test_a_prediction_of_the_opposite_sign_is_no_fit():
    item = sample()
    item['pred_depth'] = -item['pred_depth']
    metric = DepthMetric('scale_depth_lsq_10')  # a factor of -1 would make it perfect
    metric.process({}, [item])
    with pytest.raises(ValueError, match='307200 of 307200'):
        metric.evaluate(1)


def test_a_negative_depth_lies_below_no_threshold():
    metrics = batched_depth_metrics(
        torch.tensor([[-1.0, 2.0]]), torch.tensor([[1.0, 2.0]]), torch.ones(1, 2).bool()
    )
    assert [float(metrics[name]) for name in ('d1', 'd2', 'd3')] == [0.5] * 3


def test_of_all_protocols_those_that_refuse_are_left_out_with_the_reason(tmp_path):
    metric = DepthMetric('nyu_eigen_10', protocols='all')
    items = sample(), sample()
    items[1]['pred_depth'][:44] = -1.0
    for item in items:
        metric.process({}, [item])
    metrics = metric.evaluate(2)
    assert 'b/7.png: 28160 of 307200 scored' in metric.left_out['sdconvtrans_full']
    assert 'zoedepth_nyu/abs_rel' in metrics
    assert 'sdconvtrans_full/abs_rel' not in metrics
    metric.write_protocol(tmp_path / 'protocol.json')
    metric.write_per_image(tmp_path / 'per_image.json')
    for text in ((tmp_path / name).read_text() for name in ('protocol.json', 'per_image.json')):
        json.loads(text, parse_constant=pytest.fail)  # no NaN, no Infinity


def test_a_further_protocol_without_ground_truth_is_left_out():
    item = sample()
    item['gt_depth'] = item['gt_depth'] + 20
    item['pred_depth'] = item['gt_depth'].clone()
    metric = DepthMetric('streets_80', protocols=['folder'])
    metric.process({}, [item])
    metrics = metric.evaluate(1)
    assert metric.left_out == {'folder': 'none of the 1 images has ground truth that counts'}
    assert all(value == value for value in metrics.values())


def test_a_mixture_checks_further_protocols_too():
    metric = MixedDepthMetric(dict(nyu=dict(protocol='nyu_eigen_10', protocols=['folder'])))
    item = sample()
    item['pred_depth'][:44] = -1.0
    metric.process({}, [item])
    with pytest.raises(ValueError, match=r'b/7\.png: 28160 of 307200 .*under folder'):
        metric.evaluate(1)


def test_json_has_null_for_what_is_not_finite():
    assert json.loads(json_text(dict(a=[float('nan'), 1.0], b=float('inf')))) == dict(
        a=[None, 1.0], b=None
    )
