"""Several protocols in one pass, and what is written beside the numbers."""

import json

import pytest
import torch

from depth.evaluation import ALL_METRIC_NAMES, DepthMetric, MixedDepthMetric
from depth.evaluation.functional import depth_moments
from depth.evaluation.per_image import read_per_image
from depth.evaluation.report import relative_names


def samples(count=3, size=(480, 640), **extra):
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        gt = torch.rand(size, generator=generator) * 8 + 1
        pred = gt * (1 + 0.1 * torch.rand(size, generator=generator))
        yield dict(
            pred_depth=pred,
            gt_depth=gt,
            img_path=f'/data/set/{index % 2}/{index}.jpg',
            dataset='nyu',
            **extra,
        )


def run(metric, items):
    for sample in items:
        metric.process({}, [sample])
    return metric.evaluate(len(metric.results))


def test_several_protocols_give_what_each_gives_alone():
    together = run(
        DepthMetric('nyu_eigen_10', protocols=['zoedepth_nyu', 'midas_disparity_lsq_10']), samples()
    )
    alone = run(DepthMetric('nyu_eigen_10'), samples())
    assert {name: together[name] for name in ALL_METRIC_NAMES} == alone
    for other in ('zoedepth_nyu', 'midas_disparity_lsq_10'):
        single = run(DepthMetric(other), samples())
        assert {name: together[f'{other}/{name}'] for name in ALL_METRIC_NAMES} == single
    assert together['midas_disparity_lsq_10/abs_rel'] < together['abs_rel']


def test_all_takes_every_protocol_that_applies_and_says_what_it_left_out():
    metric = DepthMetric('nyu_eigen_10', protocols='all')
    metrics = run(metric, samples(1))
    assert 'zoedepth_nyu_v2/rmse' in metrics
    assert not any(name.startswith('kitti') for name in metrics)
    assert metric.left_out == {}
    small = DepthMetric('rooms_10', protocols='all')
    run(small, samples(1, size=(40, 50)))
    assert '480x640' in small.left_out['nyu_eigen_10']


def test_all_is_refused_for_a_mixture():
    items = [*samples(1, size=(40, 50)), dict(next(samples(1, size=(40, 50))), dataset='kitti')]
    run(DepthMetric('rooms_10'), items)
    with pytest.raises(ValueError, match="is of 'kitti' after images of 'nyu'"):
        run(DepthMetric('rooms_10', protocols='all'), items)


def mixture():
    items = [*samples(2, size=(40, 50)), *samples(2, size=(30, 60))]
    return [dict(item, dataset='ab'[index // 2]) for index, item in enumerate(items)]


def test_a_mixture_scores_each_data_set_as_alone_and_writes_a_file_each(tmp_path):
    items = mixture()
    metric = MixedDepthMetric(dict(a='rooms_10', b=dict(protocol='folder', protocols=['rooms_10'])))
    metrics = run(metric, items)
    alone = run(DepthMetric('rooms_10'), items[:2]), run(DepthMetric('folder'), items[2:])
    assert [metrics['a/rmse'], metrics['b/rmse']] == [alone[0]['rmse'], alone[1]['rmse']]
    assert metrics['rmse'] == pytest.approx((alone[0]['rmse'] + alone[1]['rmse']) / 2)
    assert metrics['b/rooms_10/rmse'] == alone[1]['rmse']
    metric.write_per_image(tmp_path / 'per_image.json')
    assert read_per_image(tmp_path / 'per_image_b.json', 'rooms_10').images == [
        '0/0.jpg',
        '1/1.jpg',
    ]


def test_a_mixture_refuses_bad_predictions_too():
    items = mixture()
    items[3]['pred_depth'][0] = torch.inf
    with pytest.raises(ValueError, match='60 of 1800 scored predictions'):
        run(MixedDepthMetric(dict(a='rooms_10', b='folder')), items)


def test_a_batch_is_scored_as_its_images_are():
    metric, batched = DepthMetric('rooms_10'), DepthMetric('rooms_10')
    items = [*samples(2, size=(40, 50)), *samples(2, size=(30, 50))]
    batched.process({}, items)
    assert batched.evaluate(4) == run(metric, items)


def test_predictions_say_what_they_are():
    items = list(samples(1, size=(40, 50), prediction_type='scale_invariant'))
    with pytest.raises(
        ValueError, match='rooms_10 cannot score predictions of type scale_invariant'
    ):
        run(DepthMetric('rooms_10'), items)
    assert run(DepthMetric('scale_depth_lsq'), items)['abs_rel'] < 0.1


def test_a_prediction_that_is_not_finite_is_an_error_that_names_the_image():
    items = list(samples(2, size=(40, 50)))
    items[1]['pred_depth'][3, 4:6] = torch.nan
    with pytest.raises(ValueError, match=r'1\.jpg: 2 of 2000'):
        run(DepthMetric('rooms_10'), items)


def test_files_describe_the_numbers(tmp_path):
    items = list(samples(3, size=(40, 50), tta='none'))
    items[2]['gt_depth'][:] = 0
    metric = DepthMetric('rooms_10', protocols=['folder'])
    metrics = run(metric, items)
    metric.write_protocol(tmp_path / 'protocol.json')
    metric.write_per_image(tmp_path / 'per_image.json')
    described = json.loads((tmp_path / 'protocol.json').read_text())
    assert (described['name'], described['num_images'], described['num_skipped']) == (
        'rooms_10',
        2,
        1,
    )
    assert (described['prediction_type'], described['tta_used']) == ('metric', 'none')
    assert [other['name'] for other in described['others']] == ['folder']
    first, second = json.loads((tmp_path / 'per_image.json').read_text())['results']
    assert first['images'] == ['0/0.jpg', '1/1.jpg']
    assert first['skipped'] == ['0/2.jpg']
    assert sum(first['values']['abs_rel']) / 2 == pytest.approx(metrics['abs_rel'])
    assert second['protocol']['name'] == 'folder'


def test_the_table_names_protocol_count_and_a_different_augmentation():
    metric = DepthMetric('nyu_eigen_10')
    run(metric, samples(2, tta='none'))
    text = metric.outcome[0].origin()
    fingerprint = metric.protocol.describe()['fingerprint']
    assert (
        f'nyu_eigen_10 v1 ({fingerprint}), mean over 2 images (the published list has 654)' in text
    )
    assert 'mean with the mirrored image; here: none' in text


def test_a_pixel_average_is_used():
    metric = DepthMetric('rooms_10')
    metric.protocol = metric.protocol.modified(average='pixel')
    items = list(samples(2, size=(40, 50)))
    items[0]['gt_depth'][:30] = 0
    metrics = run(metric, items)
    pred, gt = (torch.stack([item[key] for item in items]) for key in ('pred_depth', 'gt_depth'))
    expected = depth_moments(pred.reshape(1, -1), gt.reshape(1, -1), (gt > 0).reshape(1, -1))[
        'abs_rel'
    ]
    assert metrics['abs_rel'] == pytest.approx(float(expected), rel=1e-9)


def test_names_do_not_depend_on_where_the_data_lies():
    assert relative_names(['/a/b/x/1.png', '/a/b/y/2.png']) == ['x/1.png', 'y/2.png']
    assert relative_names(['/a/b/1.png']) == ['1.png']
    assert relative_names(['rooms_test_0/00000.png', 'rooms_test_0/00001.png']) == [
        '00000.png',
        '00001.png',
    ]
    assert relative_names([]) == []


def test_protocols_is_a_list_or_all():
    with pytest.raises(ValueError, match="names or 'all'"):
        DepthMetric('rooms_10', protocols='folder')
