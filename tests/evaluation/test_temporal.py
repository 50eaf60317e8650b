"""Temporal metrics on camera paths with exact depth and pose, and alignment of the scale."""

import itertools

import numpy as np
import pytest

from depth.apis.scale_alignment import StreamScaleAligner, depth_change_of_motion
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
    for name in ('scale_flicker', 'surface_change', 'surface_flicker', 'inconsistency', 'abs_rel'):
        assert exact[name] == 0, name
    assert exact['tae'] < 0.5  # percent; pixels are matched to the nearest one
    doubled = measure(path, [2 * depth for depth in truth])
    assert doubled['scale_flicker'] == pytest.approx(0, abs=1e-7)
    assert doubled['surface_change'] == pytest.approx(0, abs=1e-7)
    assert doubled['inconsistency'] == pytest.approx(0, abs=1e-7)
    assert doubled['abs_rel'] == pytest.approx(1)


def test_a_planted_jitter_is_measured_as_it_is(path):
    logs = 0.05 * np.random.RandomState(1).randn(len(path))
    jittered = [frame['gt_depth'] * np.exp(log) for frame, log in zip(path, logs, strict=True)]
    result = measure(path, jittered)
    steps = np.abs(np.diff(logs)).mean()
    assert result['scale_flicker'] == pytest.approx(steps, rel=1e-5)
    assert result['surface_change'] == pytest.approx(steps, rel=1e-5)
    jumps = np.abs(np.diff(logs, 2)).mean() / np.sqrt(3)
    assert result['surface_flicker'] == pytest.approx(jumps, rel=1e-5)
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
    for name in ('scale_flicker', 'surface_change', 'surface_flicker', 'inconsistency', 'tae'):
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
    with pytest.raises(ValueError, match='three successive frames'):
        measure(path[:1], [path[0]['gt_depth']])
    with pytest.raises(ValueError, match='differ in size'):
        TemporalMetrics().update(np.ones((2, 2)), np.ones((3, 3)), np.eye(3), np.eye(4))


def test_what_comes_into_view_is_no_change_of_surfaces(path):
    """Half of a scene is predicted twice too far; the camera stands, the half grows by four columns a frame."""
    metrics, frame = TemporalMetrics(), path[0]
    truth = (frame['gt_depth'], frame['cam_intrinsic'], frame['cam_to_world'])
    for number in range(12):
        pred = frame['gt_depth'].copy()
        pred[:, : 40 + 4 * number] *= 2
        metrics.update(pred, *truth)
    result = metrics.compute()
    # The median over the frame jumps once, when the half is larger than the other one.
    assert result['scale_flicker'] == pytest.approx(np.log(2) / 11, rel=1e-5)
    assert result['surface_change'] == result['surface_flicker'] == 0
    assert result['inconsistency'] == pytest.approx(np.log(2) * 4 / 128, rel=1e-5)


def test_a_steady_drift_is_a_change_without_flicker(path):
    drifting = [frame['gt_depth'] * np.exp(0.01 * number) for number, frame in enumerate(path)]
    result = measure(path, drifting)
    assert result['surface_change'] == pytest.approx(0.01, rel=1e-4)
    assert result['surface_flicker'] < 1e-6


def moved_points(rng, count=2000):
    """Return midpoints, flow, inverse depth and change of log depth of points before a camera."""
    points = rng.uniform([-2, -1.5, 2], [2, 1.5, 9], (count, 3))
    angle = np.array([0.004, -0.011, 0.006])
    # Of first order, as the motion field.
    turn = np.array([[1, -angle[2], angle[1]], [angle[2], 1, -angle[0]], [-angle[1], angle[0], 1]])
    moved = (points - [0.03, -0.02, 0.08]) @ turn  # the inverse turn: that of the camera
    before, after = points[:, :2] / points[:, 2:], moved[:, :2] / moved[:, 2:]
    middle = (before + after) / 2
    change = np.log(moved[:, 2] / points[:, 2])
    nearness = 1 / np.sqrt(moved[:, 2] * points[:, 2])
    return middle, after - before, nearness, change


@pytest.mark.parametrize('unit', [1.0, 7.0])
def test_the_change_of_depth_by_a_motion_is_that_of_the_moved_points(unit):
    rng = np.random.RandomState(0)
    middle, flow, nearness, change = moved_points(rng)
    assert np.abs(change).max() > 0.03
    # A fifth of the points belongs to things that move by themselves.
    flow[::5] += rng.uniform(-0.05, 0.05, (400, 2))
    motion = depth_change_of_motion(*middle.T, flow, nearness / unit, 1e-3)
    assert np.abs(motion - change).max() < 0.05 * np.abs(change).max()


def test_a_camera_that_moves_forward_is_not_taken_for_flicker(path):
    """Exact depth has one scale, also where the scene comes nearer with every frame."""
    changes = []
    for earlier, frame in itertools.pairwise(path):
        pair = StreamScaleAligner(smoothing=1e-3)
        pair.factor(earlier['img'], earlier['gt_depth'])
        # Of two frames the factor is half of the change.
        changes.append(-2 * np.log(pair.factor(frame['img'], frame['gt_depth'])))
    median_depth = [np.median(frame['gt_depth']) for frame in path]
    assert abs(np.log(median_depth[-1] / median_depth[0])) > 0.05  # the scene comes nearer
    assert abs(np.sum(changes)) < 0.02


def test_inverse_depth_gets_the_inverse_factor(path):
    logs = 0.05 * np.random.RandomState(1).randn(5)
    aligner, inverse_aligner = StreamScaleAligner(), StreamScaleAligner()
    for frame, log in zip(path, logs, strict=False):
        pred = (frame['gt_depth'] * np.exp(log)).astype(np.float32)
        factor = aligner.factor(frame['img'], pred)
        inverse = inverse_aligner.factor(frame['img'], 1 / pred, is_inverse=True)
        assert factor * inverse == pytest.approx(1, rel=1e-4)
