"""What part of a frame is scored, against what a protocol says."""

import json

import numpy as np
import pytest
import torch

from depth.datasets.transforms import KBCrop, PackDepthInputs, RandomCrop, Resize
from depth.evaluation import PROTOCOLS, DepthMetric
from depth.evaluation.per_image import check_comparable, read_per_image
from depth.evaluation.views import KITTI_FRAMES, kb_box, scored_view

KB_PROTOCOLS = [name for name, protocol in PROTOCOLS.items() if protocol.view == 'kb_crop']


def packed(*steps, size=(375, 1242), seed=0):
    """Return the sample of a frame after some steps, with a prediction that is off by up to 10 %."""
    rng = np.random.RandomState(seed)
    depth = (5 + 60 * rng.rand(*size)).astype(np.float32)
    results = dict(
        img=np.zeros((*size, 3), np.uint8),
        gt_depth=depth,
        frame_shape=size,
        img_path=f'{seed}.png',
        # Without a seed a random crop would be the KB crop once in 648 times.
        rng=np.random.RandomState(seed),
    )
    for step in (*steps, PackDepthInputs()):
        results = step(results)
    sample = results['data_samples'].to_dict()
    error = torch.rand(sample['gt_depth'].shape, generator=torch.Generator().manual_seed(0))
    return sample | dict(pred_depth=sample['gt_depth'] * (1 + 0.1 * error), dataset='kitti')


WINDOWS = {
    'uncropped': [],
    'shifted': [RandomCrop((352, 1216))],
    'small': [RandomCrop((300, 900))],
    'resized to the size of the crop': [Resize((1216, 352))],
    'resized, then cropped': [Resize((1300, 400)), KBCrop()],
    'cropped, then resized': [KBCrop(), Resize((608, 176))],
}


def test_seven_protocols_have_the_kb_view():
    assert len(KB_PROTOCOLS) == 7


@pytest.mark.parametrize('protocol', KB_PROTOCOLS)
@pytest.mark.parametrize('steps', WINDOWS.values(), ids=WINDOWS)
def test_another_window_than_the_kb_crop_is_refused(protocol, steps):
    with pytest.raises(
        ValueError,
        match=rf'0\.png: the test pipeline leaves .* but protocol {protocol} scores the KB',
    ):
        DepthMetric(protocol).process({}, [packed(*steps)])


@pytest.mark.parametrize('size', KITTI_FRAMES)
def test_the_kb_crop_of_every_kitti_frame_is_scored(size):
    metric = DepthMetric('kitti_eigen_garg_80')
    metric.process({}, [packed(KBCrop(), size=size)])
    if size == (352, 1216):  # published cut already
        metric.process({}, [packed(size=size)])
    assert metric.evaluate(len(metric.results))['abs_rel'] == pytest.approx(0.05, abs=0.01)
    assert metric.outcome[0].describe()['name'] == 'kitti_eigen_garg_80'


@pytest.mark.parametrize('size', KITTI_FRAMES)
def test_the_window_is_that_of_the_transform(size):
    sample = packed(KBCrop(), size=size)
    assert tuple(sample['crop_box']) == kb_box(*size)
    assert tuple(sample['frame_shape']) == size


def test_a_view_in_words():
    box = (23, 13, 352, 1216)
    assert str(scored_view((352, 1216), box, (375, 1242))) == 'kb_crop'
    assert str(scored_view((352, 1216), box)) == 'kb_crop'
    assert str(scored_view((352, 1216), (0, 100, 352, 1216))) == 'rows 0:352, columns 100:1316'
    assert str(scored_view((375, 1242), None, (375, 1242))) == 'full'
    assert str(scored_view((375, 1242), None, (370, 1226))) == 'full at 375x1242'
    assert str(scored_view((375, 1242))) == 'unknown'


def test_another_view_can_be_asked_for_and_shows():
    metric = DepthMetric('kitti_eigen_garg_80', view='full')
    metric.process({}, [packed()])
    metric.evaluate(1)
    described = metric.outcome[0].describe()
    assert described['name'] == 'kitti_eigen_garg_80 (modified: view=full)'
    assert described['fingerprint'] != PROTOCOLS['kitti_eigen_garg_80'].describe()['fingerprint']


def written(folder, *steps):
    metric = DepthMetric('scale_depth_lsq')
    metric.process({}, [packed(*steps)])
    metric.evaluate(1)
    metric.write_per_image(folder / f'per_image_{len(steps)}.json')
    return metric, read_per_image(folder / f'per_image_{len(steps)}.json')


def test_a_protocol_for_any_view_carries_it_in_name_and_fingerprint(tmp_path):
    whole, first = written(tmp_path)
    cropped, second = written(tmp_path, KBCrop())
    assert whole.outcome[0].describe()['fingerprint'] == whole.protocol.describe()['fingerprint']
    assert 'protocol scale_depth_lsq (view: kb_crop) v1' in cropped.outcome[0].origin()
    with pytest.raises(ValueError, match='different protocols'):
        check_comparable(first, second)


def test_a_named_further_protocol_refuses_and_one_of_all_is_left_out():
    sample = packed(KBCrop())
    with pytest.raises(ValueError, match='monodepth2_improved_median scores full frames'):
        DepthMetric('kitti_eigen_garg_80', protocols=['monodepth2_improved_median']).process(
            {}, [sample]
        )
    metric = DepthMetric('scale_depth_lsq', protocols='all')
    metric.process({}, [packed(KBCrop(), seed=1)])
    metric.process({}, [packed(RandomCrop((352, 1216)), seed=2)])  # no longer the KB crop
    metrics = metric.evaluate(2)
    assert '2.png' in metric.left_out['kitti_eigen_garg_80']
    assert 'scores full frames' in metric.left_out['monodepth2_improved_median']
    assert 'affine_depth_lsq/abs_rel' in metrics
    assert not any(name.startswith('kitti') for name in metrics)


def test_monodepth2_takes_each_days_own_size():
    sample = packed(size=(370, 1226))
    DepthMetric('monodepth2_median').process({}, [sample])
    resized = packed(Resize((1242, 375)), size=(370, 1226))
    with pytest.raises(ValueError, match=r'full at 375x1242.*size=None'):
        DepthMetric('monodepth2_median').process({}, [resized])
    DepthMetric('epcdepth_stereo').process({}, [resized])  # as published


def test_descriptions_say_what_differs_from_the_published_code():
    for name in ('zoedepth_diode_indoor', 'zoedepth_diode_outdoor'):
        assert 'which the published code loads and ignores' in PROTOCOLS[name].description


FINGERPRINTS = dict(
    nyu_eigen_10='bc8b3009083b',
    kitti_eigen_garg_80='8f990c39f372',
    zoedepth_diode_indoor='67e6851ab169',
    epcdepth_stereo='e830ae627570',
    folder='c539685171f3',
)


def test_fingerprints_of_published_protocols_stay():
    actual = {name: PROTOCOLS[name].describe()['fingerprint'] for name in FINGERPRINTS}
    assert actual == FINGERPRINTS


def test_filled_depth_has_its_own_protocol():
    measured = packed(size=(480, 640)) | dict(dataset='nyu')
    measured['gt_depth'] = measured['gt_depth'] / 10
    measured['pred_depth'] = measured['pred_depth'] / 10
    filled = dict(measured, gt_filled=True)
    with pytest.raises(
        ValueError, match=r'has filled ground truth, but protocol nyu_eigen_10 .*raw_depth=True'
    ):
        DepthMetric('nyu_eigen_10').process({}, [filled])
    with pytest.raises(ValueError, match=r'has measured ground truth, but protocol nyu_filled_10'):
        DepthMetric('nyu_filled_10').process({}, [measured])
    metric = DepthMetric('nyu_filled_10', protocols='all')
    metric.process({}, [filled])
    assert next(iter(metric.evaluate(1))) == 'abs_rel'
    assert 'filled ground truth' in metric.left_out['nyu_eigen_10']
    json.dumps(metric.outcome[0].describe(), allow_nan=False)
