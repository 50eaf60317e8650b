import dataclasses
import json

import cv2
import numpy as np
import pytest
import torch

from depth import evaluation
from depth.evaluation import (
    PROTOCOLS,
    DepthMetric,
    PredictionType,
    Protocol,
    applicable_protocols,
    get_protocol,
    register_protocol,
)
from depth.evaluation.crops import nyu_absolute_crop, nyu_relative_crop
from depth.evaluation.functional import depth_moments, metrics_from_moments
from tests.data_tools.split_files import published_split_files
from tests.parity.recorded import load_arrays, load_case

NAMES = """kitti_eigen_garg_80 kitti_eigen_crop_80 kitti_benchmark nyu_eigen_10 sunrgbd_8 cityscapes_200 zoedepth_nyu
    zoedepth_sunrgbd zoedepth_ibims zoedepth_diode_indoor zoedepth_diode_outdoor zoedepth_hypersim zoedepth_vkitti2
    zoedepth_ddad zoedepth_diml_outdoor zoedepth_kitti zoedepth_hypersim_v2 monodepth2_median monodepth2_improved_median
    epcdepth_stereo epcdepth_improved epcdepth_nyu midas_disparity_lsq sdconvtrans_full rooms_10 streets_80
    folder""".split()


def scored(protocol, pred, gt, kind='metric'):
    """Return the metrics (N,) of maps (N, H, W) as the protocol defines them."""
    prepared = protocol.prepare(torch.as_tensor(pred), torch.as_tensor(gt), kind)
    moments = depth_moments(*prepared, eps_ratio=protocol.eps_ratio, eps_log=protocol.eps_log)
    return metrics_from_moments(moments, silog=protocol.silog, log10=protocol.log10)


@pytest.mark.parametrize('name', NAMES)
def test_every_promised_name_is_there(name):
    assert get_protocol(name).name == name


def test_fingerprints_tell_all_protocols_apart_and_descriptions_are_plain_json():
    described = [protocol.describe() for protocol in PROTOCOLS.values()]
    assert len({entry['fingerprint'] for entry in described}) == len(described)
    assert 'Infinity' not in json.dumps(described)


def test_lists_that_protocols_name_are_the_published_ones():
    named = 0
    for protocol in PROTOCOLS.values():
        assert bool(protocol.data_list) == (protocol.num_images is not None), protocol.name
        name, _, digits = protocol.data_list.rstrip(')').partition(' (')
        if digits:
            split = published_split_files()[name]
            assert split.sha256.startswith(digits), protocol.name
            assert protocol.num_images == split.usable, protocol.name
            named += 1
    assert named > 10


def test_the_fingerprint_depends_on_the_definition_and_not_on_the_wording():
    protocol = get_protocol('folder')
    reworded = dataclasses.replace(protocol, description='another wording')
    assert reworded.describe()['fingerprint'] == protocol.describe()['fingerprint']
    for change in (
        dict(strict='near'),
        dict(average='pixel'),
        dict(version=2),
        dict(silog='variance'),
    ):
        changed = dataclasses.replace(protocol, **change)
        assert changed.describe()['fingerprint'] != protocol.describe()['fingerprint']


@pytest.mark.parametrize(
    ('strict', 'expected'),
    [('both', [0, 1, 0]), ('near', [0, 1, 1]), ('far', [1, 1, 0]), ('none', [1, 1, 1])],
)
def test_the_ends_of_the_range(strict, expected):
    protocol = dataclasses.replace(
        get_protocol('folder'), min_depth=1.0, max_depth=10.0, strict=strict
    )
    assert protocol.valid_mask(torch.tensor([[1.0, 5.0, 10.0]])).int().tolist() == [expected]


@pytest.mark.parametrize(
    'change',
    [dict(crop='middle'), dict(alignment='mean'), dict(clamp=(2.0, 1.0)), dict(max_depth=0.0)],
)
def test_wrong_values_are_refused(change):
    with pytest.raises(ValueError, match='protocol folder'):
        dataclasses.replace(get_protocol('folder'), **change)


def test_a_clamp_that_was_the_range_moves_with_it():
    changed = get_protocol('monodepth2_median').modified(min_depth=0.1, max_depth=10.0)
    assert changed.clamp == (0.1, 10.0)
    assert changed.name == 'monodepth2_median (modified: max_depth=10.0, min_depth=0.1)'
    assert get_protocol('sunrgbd_8').modified(max_depth=9.0).clamp == (0.0, 8.0)
    assert get_protocol('folder').modified(max_depth=10.0) is get_protocol('folder')


def test_the_absolute_rectangle_keeps_the_upper_left_and_the_relative_one_its_share():
    assert nyu_absolute_crop(480, 640) == nyu_relative_crop(480, 640) == (45, 471, 41, 601)
    assert nyu_absolute_crop(768, 1024) == (45, 471, 41, 601)
    assert nyu_relative_crop(768, 1024) == (72, 754, 66, 962)
    assert nyu_absolute_crop(427, 561) == (45, 427, 41, 561)


ACCEPTED = {
    'nyu_eigen_10': 'metric inverse_depth',
    'monodepth2_median': 'metric scale_invariant inverse_depth disparity',
    'affine_depth_lsq': 'metric scale_invariant affine_invariant inverse_depth disparity',
    'midas_disparity_lsq': 'metric scale_invariant inverse_depth disparity affine_invariant_disparity',
}


@pytest.mark.parametrize(('name', 'kinds'), ACCEPTED.items())
def test_a_protocol_scores_what_its_alignment_makes_comparable(name, kinds):
    protocol = get_protocol(name)
    assert [kind.value for kind in PredictionType if protocol.accepts(kind)] == kinds.split()
    for kind in PredictionType:
        if kind.value not in kinds.split():
            with pytest.raises(
                ValueError, match=f'{name} cannot score predictions of type {kind.value}'
            ):
                protocol.check_type(kind)


def test_an_unknown_type_is_answered_with_all():
    with pytest.raises(ValueError, match=r"did you mean 'metric'.*disparity"):
        get_protocol('folder').check_type('metrc')


GT = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0)) * 7 + 1

EXACT_AFTER = {
    'metric': lambda depth: depth,
    'scale_invariant': lambda depth: 0.3 * depth,
    'affine_invariant': lambda depth: 0.3 * depth + 2,
    'inverse_depth': lambda depth: 1 / depth,
    'disparity': lambda depth: 40 / depth,
    'affine_invariant_disparity': lambda depth: 40 / depth - 3,
}


@pytest.mark.parametrize('name', [*ACCEPTED, 'scale_depth_lsq', 'zoedepth_kitti_v2'])
def test_a_perfect_prediction_of_every_accepted_type_has_no_error(name):
    protocol = dataclasses.replace(get_protocol(name), crop='none')
    for kind, make in EXACT_AFTER.items():
        if protocol.accepts(kind):
            actual = scored(protocol, make(GT), GT, kind)
            assert actual['abs_rel'].max() < 1e-5, kind
            assert actual['d1'].min() == 1, kind


def test_a_disparity_of_zero_or_less_is_as_far_as_the_protocol_goes():
    protocol = get_protocol('midas_disparity_lsq')
    pred = protocol._clamped_depth(torch.tensor([-1.0, 0.0, 0.5]), inverse=True)
    assert pred.tolist() == pytest.approx([80, 80, 2])


def resized(name, pred, size, kind='metric'):
    protocol = dataclasses.replace(get_protocol(name), crop='none')
    return protocol.prepare(pred, torch.ones(1, *size), kind)[0][0]


def test_resizing_as_inverse_depth_differs_from_resizing_depth():
    coarse = torch.tensor([[[1.0, 4.0]]])
    assert resized('cityscapes_200', coarse, (1, 4))[0].tolist() == pytest.approx(
        [1, 1.75, 3.25, 4]
    )
    assert resized('epcdepth_stereo', coarse, (1, 4))[0].tolist() == pytest.approx(
        [1, 1 / 0.8125, 1 / 0.4375, 4]
    )


@pytest.mark.parametrize('corners', ['zoedepth_kitti', 'zoedepth_kitti_v2'])
@pytest.mark.parametrize('size', [(1, 4), (1, 5), (3, 7)])
def test_an_infinitely_far_pixel_is_clamped_after_a_resize_too(corners, size):
    """An inverse depth of 0 is the far end of the clamp, and no pixel is NaN."""
    for far in (0.0, 1e-12):
        actual = resized(corners, torch.tensor([[[0.5, far, 0.5]]]), size, 'inverse_depth')
        assert torch.isfinite(actual).all()
        assert actual.min() >= 2 - 1e-5 and actual.max() == 80
        assert actual[:, 0].tolist() == pytest.approx([2.0] * size[0])
    none = resized(corners, torch.zeros(1, 2, 2), (4, 4), 'inverse_depth')
    assert (none == 80).all()


@pytest.mark.parametrize(
    ('protocol', 'kind', 'impossible'),
    [('epcdepth_stereo', 'metric', 0.0), ('zoedepth_kitti_v2', 'inverse_depth', -0.5)],
)
def test_an_impossible_value_stays_nan_after_a_resize_and_spares_the_rest_of_the_map(
    protocol, kind, impossible
):
    depth = resized(protocol, torch.tensor([[[4.0, 4.0, 4.0, impossible]]]), (1, 8), kind)[0]
    assert depth.isnan().tolist() == [False] * 5 + [True] * 3
    assert depth[:5].tolist() == pytest.approx([0.25 if kind == 'inverse_depth' else 4.0] * 5)


def test_corner_aligned_resize_is_the_published_quirk():
    coarse = torch.tensor([[[1.0, 4.0]]])
    assert resized('zoedepth_kitti', coarse, (1, 4))[0].tolist() == pytest.approx([1, 2, 3, 4])
    assert resized('zoedepth_kitti_v2', coarse, (1, 4))[0].tolist() == pytest.approx(
        [1, 1.75, 3.25, 4]
    )


def test_full_frame_protocols_refuse_a_crop():
    sample = dict(pred_depth=GT[0], gt_depth=GT[0], img_path='a.png', crop_box=(23, 13, 352, 1216))
    with pytest.raises(ValueError, match='scores full frames'):
        DepthMetric('monodepth2_median').process({}, [sample])


def test_a_protocol_of_ones_own(monkeypatch):
    monkeypatch.setattr(evaluation.protocols, 'PROTOCOLS', dict(PROTOCOLS))
    own = Protocol('attic_5', 'our attic', 0.1, 5.0, datasets=('attic',))
    register_protocol(own)
    register_protocol(dataclasses.replace(own))  # an equal one may be registered again
    assert DepthMetric('attic_5').protocol is own
    assert own in applicable_protocols('attic', 'metric')
    with pytest.raises(ValueError, match='another definition'):
        register_protocol(dataclasses.replace(own, max_depth=6.0))


def test_what_applies_to_a_data_set():
    names = [protocol.name for protocol in applicable_protocols('nyu', 'metric')]
    assert 'nyu_eigen_10' in names
    assert 'midas_disparity_lsq' in names
    assert 'kitti_eigen_garg_80' not in names
    names = [protocol.name for protocol in applicable_protocols('nyu', 'metric', max_depth=10.0)]
    assert 'midas_disparity_lsq_10' in names
    assert 'midas_disparity_lsq' not in names
    names = [protocol.name for protocol in applicable_protocols('kitti_raw', 'scale_invariant')]
    assert 'monodepth2_median' in names
    assert 'epcdepth_stereo' not in names


@pytest.mark.parametrize(
    ('case', 'protocol'),
    [('sunrgbd', 'sunrgbd_8'), ('kitti_garg_clamped', None), ('nyu_eigen_crop_clamped', None)],
)
def test_caps_and_clamps_give_the_published_values(case, protocol):
    arrays = load_arrays('metrics')
    recorded = load_case('metrics')['cases'][case]
    name = case.split('_')[0]
    stored = arrays[f'{name}/gt_png']
    if name == 'sunrgbd':
        gt = ((stored >> 3) | (stored << 13)).astype(np.float32) / 1000
        chosen = get_protocol(protocol)
    else:
        gt = stored.astype(np.float32) / (256 if name == 'kitti' else 1000)
        gt = gt[23:375, 13:1229] if name == 'kitti' else gt
        chosen = get_protocol('kitti_eigen_garg_80' if name == 'kitti' else 'nyu_eigen_10')
        chosen = dataclasses.replace(chosen, clamp=(1e-3, chosen.max_depth))
    actual = scored(chosen, arrays[f'{name}/pred'], gt[None])
    renamed = dict(a1='d1', a2='d2', a3='d3', log_10='log10')
    for metric, value in recorded['result'].items():
        assert float(actual[renamed.get(metric, metric)]) == pytest.approx(value, rel=2e-5), metric


EPC_ORDER = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'd1', 'd2', 'd3')


@pytest.mark.parametrize(
    ('name', 'protocol', 'factor'),
    [
        ('stereo', 'epcdepth_stereo', 5.4),
        ('median', 'monodepth2_median', 1.0),
        ('stereo_nocrop', 'epcdepth_improved', 5.4),
    ],
)
def test_self_supervised_protocols_give_the_published_values(name, protocol, factor):
    arrays = load_arrays('epcdepth_values')
    inverse = torch.from_numpy(arrays['eval/disp']) / factor
    kind = 'disparity' if name == 'median' else 'inverse_depth'
    actual = scored(get_protocol(protocol), inverse, arrays['eval/gt'], kind)
    means = [float(actual[metric].mean()) for metric in EPC_ORDER]
    assert means == pytest.approx(arrays[f'eval/{name}'].tolist(), rel=1e-5)


def test_the_nyu_generalisation_protocol_gives_the_published_values():
    arrays = load_arrays('epcdepth_values')
    depth = torch.from_numpy(1 / arrays['nyu/disp'])[None]
    actual = scored(get_protocol('epcdepth_nyu'), depth, arrays['nyu/gt'][None], 'scale_invariant')
    assert [float(actual[metric]) for metric in EPC_ORDER] == pytest.approx(
        arrays['nyu/errors'].tolist(), rel=1e-5
    )


def test_sdconvtrans_gives_the_published_values():
    arrays = load_arrays('sdconvtrans_values')
    metric = DepthMetric('sdconvtrans_full')
    for index in range(2):
        pred, gt = (
            torch.from_numpy(10 * arrays[f'loss/{name}'][index, 0])
            for name in ('fake_small', 'real')
        )
        metric.process({}, [dict(pred_depth=pred, gt_depth=gt, img_path=f'{index}.png')])
    metrics = metric.evaluate(2)
    expected = {
        'abs_rel': 'rel', 'rmse': 'rmse', 'rmse_log': 'rmse_log', 'log10': 'log10_named',
    }  # fmt: skip
    for name, published in expected.items():
        assert metrics[name] == pytest.approx(
            float(arrays[f'dataset_metric/{published}']), rel=1e-4
        ), name
    accuracies = [metrics[name] for name in ('d1', 'd2', 'd3')]
    assert accuracies == pytest.approx(arrays['dataset_metric/acc'].tolist(), abs=1e-6)


def test_opencv_and_the_resize_rule_agree_on_the_published_resize():
    disparity = np.random.RandomState(0).rand(5, 9).astype(np.float32) + 0.1
    expected = 1 / cv2.resize(disparity, (40, 17))
    actual = resized(
        'epcdepth_stereo', torch.from_numpy(disparity)[None], (17, 40), 'inverse_depth'
    )
    assert actual.numpy() == pytest.approx(expected, rel=1e-5)
