import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from depth.evaluation import ALL_METRIC_NAMES, DepthMetric, depth_metrics, get_protocol
from depth.evaluation.crops import CROPS
from tests.parity.recorded import load_arrays, load_case

PUBLISHED_NAMES = dict(a1='d1', a2='d2', a3='d3', log_10='log10')
PREDICTION_CASES = {
    'kitti_garg': 'kitti_eigen_garg_80',
    'kitti_eigen_crop': 'kitti_eigen_crop_80',
    'nyu_eigen_crop': 'nyu_eigen_10',
}


def renamed(result):
    return {PUBLISHED_NAMES.get(name, name): value for name, value in result.items()}


def kb_crop(array):
    return array[23:375, 13:1229]


@pytest.mark.parametrize(('case', 'protocol'), PREDICTION_CASES.items())
def test_protocols_give_the_published_values(case, protocol):
    arrays = load_arrays('metrics')
    recorded = load_case('metrics')['cases'][case]
    name = case.split('_')[0]
    gt = arrays[f'{name}/gt_png'].astype(np.float32) / (256 if name == 'kitti' else 1000)
    gt, pred = (kb_crop(gt) if name == 'kitti' else gt), arrays[f'{name}/pred'][0]
    mask = get_protocol(protocol).valid_mask(torch.from_numpy(gt))
    assert int(mask.sum()) == recorded['valid_pixels']
    rows, columns = np.nonzero(mask.numpy())
    assert [rows.min(), rows.max(), columns.min(), columns.max()] == recorded['valid_box_rows_cols']
    metrics = depth_metrics(pred, gt, mask)
    for metric, value in renamed(recorded['result']).items():
        assert metrics[metric] == pytest.approx(value, rel=2e-5), metric


@pytest.mark.parametrize('case', ['vector_1e-3_80', 'vector_1e-3_10', 'vector_1_20'])
def test_vectors_give_the_published_values(case):
    arrays = load_arrays('metrics')
    recorded = load_case('metrics')['cases'][case]
    gt, pred = arrays['vector/gt'], arrays['vector/pred']
    metrics = depth_metrics(pred, gt, (gt > recorded['min_depth']) & (gt < recorded['max_depth']))
    for metric, value in renamed(recorded['result']).items():
        assert metrics[metric] == pytest.approx(value, rel=2e-5), metric


def test_a_map_that_is_off_by_a_factor_has_no_scale_invariant_error():
    target = torch.linspace(1, 9, 50)
    metrics = depth_metrics(2 * target, target)
    assert metrics['silog'] == pytest.approx(0, abs=1e-5)
    assert metrics['abs_rel'] == pytest.approx(1)
    assert metrics['rmse_log'] == pytest.approx(np.log(2), rel=1e-6)
    assert metrics['d3'] == 0


def test_thresholds_are_strict():
    metrics = depth_metrics(torch.tensor([1.25, 1.2, 1.5]), torch.ones(3))
    assert metrics['d1'] == pytest.approx(1 / 3)
    assert metrics['d2'] == 1


@pytest.mark.parametrize(
    ('pred', 'target', 'message'),
    [
        (torch.ones(2, 3), torch.ones(3, 2), 'one shape'),
        (torch.ones(3), torch.zeros(3), 'no pixel'),
        (torch.tensor([1.0, 0.0, float('nan')]), torch.ones(3), '2 of 3 counted'),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(pred, target, message):
    with pytest.raises(ValueError, match=message):
        depth_metrics(pred, target)


def evaluate(metric, pairs):
    evaluator = Evaluator(metric)
    for index, (pred, gt) in enumerate(pairs):
        sample = dict(pred_depth=pred, gt_depth=gt, sample_idx=index, img_path=f'{index}.png')
        metric.process({}, [sample])
    return evaluator.evaluate(len(pairs))


def test_metric_is_the_mean_over_images_and_leaves_out_images_without_ground_truth():
    pairs = [(torch.full((4, 5), value), torch.full((4, 5), 2.0)) for value in (1.0, 3.0, 2.0)]
    pairs.append((torch.ones(4, 5), torch.zeros(4, 5)))
    metric = DepthMetric('rooms_10')
    metrics = evaluate(metric, pairs)
    assert tuple(metrics) == ALL_METRIC_NAMES
    assert metrics['abs_rel'] == pytest.approx(1 / 3)
    assert (metric.num_images, metric.num_skipped) == (3, 1)


def test_a_changed_protocol_says_so():
    metric = DepthMetric('folder', max_depth=25.0)
    assert metric.protocol.name == 'folder (modified: max_depth=25.0)'
    assert (
        metric.protocol.describe()['fingerprint']
        != get_protocol('folder').describe()['fingerprint']
    )


def test_a_prediction_of_another_size_is_refused():
    with pytest.raises(ValueError, match='resize_depth=False'):
        evaluate(DepthMetric('rooms_10'), [(torch.ones(4, 4), torch.ones(4, 5))])


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match='none of the 1 images'):
        evaluate(DepthMetric('rooms_10'), [(torch.ones(4, 4), torch.zeros(4, 4))])


def test_an_unknown_protocol_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match='nyu_eigen_10'):
        get_protocol('nyu_eigen')


def test_every_crop_lies_inside_and_the_nyu_rectangle_refuses_small_maps():
    for crop in CROPS.values():
        top, bottom, left, right = crop(480, 640)
        assert 0 <= top < bottom <= 480
        assert 0 <= left < right <= 640
    with pytest.raises(ValueError, match='480x640'):
        CROPS['nyu'](352, 1216)
