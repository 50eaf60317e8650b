"""Temporal metrics on camera paths with exact depth and pose, and alignment of the scale."""

import numpy as np
import pytest

from depth.apis.scale_alignment import StreamScaleAligner
from depth.datasets.scenes import render_path
from depth.evaluation.temporal import TemporalMetrics, exact_flow


@pytest.fixture(scope='module')
def path():
    return list(render_path('rooms', 0, 0, 32))


def measure(path, predictions):
    metrics = TemporalMetrics()
    for frame, pred in zip(path, predictions, strict=True):
        metrics.update(pred, frame['gt_depth'], frame['cam_intrinsic'], frame['cam_to_world'])
    return metrics.compute()


def test_the_path_is_geometrically_exact():
    first, second = list(render_path('rooms', 0, 0, 32, noise=0))[3:5]
    rows, columns, visible = exact_flow(
        first['gt_depth'],
        second['gt_depth'],
        first['cam_intrinsic'],
        first['cam_to_world'],
        second['cam_to_world'],
    )
    # Most points are seen again, at another pixel, with their colour.
    assert visible.mean() > 0.8
    moved = np.abs(columns - np.arange(128)) + np.abs(rows - np.arange(96)[:, None])
    assert moved[visible].mean() > 1
    difference = first['img'].astype(float) - second['img'][rows, columns]
    unmoved = first['img'].astype(float) - second['img']
    assert np.abs(difference[visible]).mean() < 0.5 * np.abs(unmoved[visible]).mean()


def test_the_truth_is_stable_and_so_is_a_constant_error(path):
    truth = [frame['gt_depth'] for frame in path]
    exact = measure(path, truth)
    assert exact['scale_flicker'] == exact['inconsistency'] == exact['abs_rel'] == 0
    assert exact['tae'] < 0.5  # percent; pixels are matched to the nearest one
    doubled = measure(path, [2 * depth for depth in truth])
    assert doubled['scale_flicker'] == pytest.approx(0, abs=1e-7)
    assert doubled['inconsistency'] == pytest.approx(0, abs=1e-7)
    assert doubled['abs_rel'] == pytest.approx(1)


def test_a_planted_jitter_is_measured_as_it_is(path):
    logs = 0.05 * np.random.RandomState(1).randn(len(path))
    jittered = [frame['gt_depth'] * np.exp(log) for frame, log in zip(path, logs, strict=True)]
    result = measure(path, jittered)
    steps = np.abs(np.diff(logs)).mean()
    assert result['scale_flicker'] == pytest.approx(steps, rel=1e-5)
    assert result['inconsistency'] == pytest.approx(steps, rel=1e-5)
    assert result['abs_rel'] == pytest.approx(np.abs(np.expm1(logs)).mean(), rel=1e-5)


def test_aligning_the_scale_halves_a_planted_flicker_at_equal_accuracy(path):
    logs = 0.05 * np.random.RandomState(1).randn(len(path))
    jittered, aligned = [], []
    aligner = StreamScaleAligner()
    for frame, log in zip(path, logs, strict=True):
        pred = (frame['gt_depth'] * np.exp(log)).astype(np.float32)
        jittered.append(pred)
        aligned.append(pred * aligner.factor(frame['img'], pred))
    before, after = measure(path, jittered), measure(path, aligned)
    for name in ('scale_flicker', 'inconsistency', 'tae'):
        assert after[name] < 0.5 * before[name], name
    assert after['abs_rel'] <= before['abs_rel']


def test_aligning_a_stable_prediction_keeps_it(path):
    aligner = StreamScaleAligner()
    factors = [aligner.factor(frame['img'], frame['gt_depth']) for frame in path]
    assert np.abs(np.log(factors)).max() < 0.05


def test_a_cut_starts_anew():
    aligner = StreamScaleAligner()
    for index in (0, 1):
        for frame in render_path('rooms', 0, index, 3):
            factor = aligner.factor(frame['img'], frame['gt_depth'])
            if frame['cam_to_world'][2, 3] == 0:  # the first frame of either scene
                assert factor == 1
    with pytest.raises(ValueError, match='smoothing'):
        StreamScaleAligner(0)


def test_a_video_of_one_frame_has_no_temporal_metric(path):
    with pytest.raises(ValueError, match='two successive frames'):
        measure(path[:1], [path[0]['gt_depth']])
    with pytest.raises(ValueError, match='differ in size'):
        TemporalMetrics().update(np.ones((2, 2)), np.ones((3, 3)), np.eye(3), np.eye(4))
