"""Sparse depth in the data pipeline: geometry of points, simulated patterns, files."""

import copy

import cv2
import numpy as np
import pytest

from depth.datasets import SampleIndex, SyntheticDataset
from depth.datasets.base import build_pipeline
from depth.datasets.scenes import render_scene
from depth.datasets.transforms import (
    CenterCrop,
    ChoosePattern,
    FeatureTracks,
    LidarLines,
    LoadSparseDepth,
    LowResolutionToF,
    PackDepthInputs,
    RandomCrop,
    RandomFlip,
    RandomPoints,
    RandomRotate,
    Resize,
)
from depth.datasets.transforms.sparse_depth import read_sparse_depth
from depth.engine.config import load_config
from tests.shared import REPO

HEIGHT, WIDTH = 48, 64
PATTERNS = dict(
    random=dict(type='RandomPoints', num_points=60),
    lidar=dict(type='LidarLines', num_lines=6, num_points=60),
    tracks=dict(type='FeatureTracks', num_points=60),
    tof=dict(type='LowResolutionToF', factor=8),
)


def points_sample(seed=0, count=200):
    """Return a sample with points at random pixels, each of another depth."""
    rng = np.random.RandomState(seed)
    points = np.zeros((HEIGHT, WIDTH), np.float32)
    pixels = rng.choice(points.size, count, replace=False)
    points.flat[pixels] = np.linspace(1, 9, count)
    img = rng.randint(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return dict(img=img, sparse_depth=points, gt_depth=points.copy(), rng=rng)


def moved_by_hand(points, size, move):
    """Return a map of ``size`` with every point at ``move(x, y)``, point by point; the nearest stays."""
    moved = np.zeros(size, np.float32)
    for y, x in np.argwhere(points > 0):
        column, row = (int(np.floor(value + 0.5)) for value in move(x, y))
        if 0 <= row < size[0] and 0 <= column < size[1]:
            earlier = moved[row, column]
            moved[row, column] = min(earlier or np.inf, points[y, x])
    return moved


@pytest.mark.parametrize('size', [(24, 32), (31, 40), (96, 150), (20, 130), (1, 1)])
def test_a_resize_moves_each_point_and_keeps_the_nearest(size):
    before = points_sample()['sparse_depth']
    results = Resize((size[1], size[0]))(points_sample())
    sy, sx = size[0] / HEIGHT, size[1] / WIDTH
    expected = moved_by_hand(
        before, size, lambda x, y: ((x + 0.5) * sx - 0.5, (y + 0.5) * sy - 0.5)
    )
    assert np.array_equal(results['sparse_depth'], expected)
    # No value is mixed, and where the image grows none is lost or doubled.
    assert set(np.unique(results['sparse_depth'])) <= set(np.unique(before))
    if size[0] >= HEIGHT and size[1] >= WIDTH:
        assert (results['sparse_depth'] > 0).sum() == (before > 0).sum()


def test_points_move_with_the_image_that_is_resized_alone():
    results = Resize((32, 24), resize_depth=False)(points_sample())
    assert results['sparse_depth'].shape == (24, 32)
    assert results['gt_depth'].shape == (HEIGHT, WIDTH)


def test_a_rotation_moves_points_as_their_pixels():
    angle = 7.0
    before = points_sample()['sparse_depth']
    results = RandomRotate.rotate(points_sample(), angle)
    matrix = cv2.getRotationMatrix2D(((WIDTH - 1) / 2, (HEIGHT - 1) / 2), -angle, 1.0)
    expected = moved_by_hand(before, before.shape, lambda x, y: matrix @ (x, y, 1))
    assert np.array_equal(results['sparse_depth'], expected)


@pytest.mark.parametrize(
    'transform',
    [RandomFlip(prob=1.0), RandomCrop((30, 40)), CenterCrop(30, 41)],
    ids=lambda t: type(t).__name__,
)
def test_flips_and_crops_move_points_like_ground_truth(transform):
    results = transform(points_sample())
    assert np.array_equal(results['sparse_depth'], results['gt_depth'])
    assert results['sparse_depth'].any()


def test_the_central_window_and_its_camera():
    results = dict(img=np.zeros((10, 21, 3), np.uint8), cam_intrinsic=np.eye(3))
    results = CenterCrop(4, 10)(results)
    assert results['crop_box'] == (3, 5, 4, 10)
    assert results['cam_intrinsic'][:2, 2].tolist() == [-5, -3]
    with pytest.raises(ValueError, match='smaller than the window of CenterCrop'):
        CenterCrop(5, 10)(results)


def rooms(pattern, **kwargs):
    pipeline = [pattern, dict(type='PackDepthInputs')]
    return SyntheticDataset(
        'rooms', num_scenes=6, image_size=(HEIGHT, WIDTH), pipeline=pipeline, **kwargs
    )


def points_of(dataset, index):
    return dataset[index]['data_samples'].sparse_depth.numpy()


@pytest.mark.parametrize('name', PATTERNS)
def test_a_seeded_pattern_belongs_to_its_sample(name):
    first, again = rooms(dict(PATTERNS[name], seed=3)), rooms(dict(PATTERNS[name], seed=3))
    expected = [points_of(first, index) for index in range(3)]
    # In another order, and as the sampler of a training numbers its samples.
    for index in (2, 0, 1):
        assert np.array_equal(points_of(again, index), expected[index])
        keyed = SampleIndex(index, (9, 1000 + index))
        assert np.array_equal(points_of(again, keyed), expected[index])
    assert (expected[0] > 0).sum() == (48 if name == 'tof' else 60)


@pytest.mark.parametrize('name', ['random', 'lidar', 'tracks'])
def test_patterns_of_a_training_depend_on_seed_and_position(name):
    dataset = rooms(PATTERNS[name])
    draws = [points_of(dataset, SampleIndex(1, key)) for key in ((0, 5), (0, 5), (0, 6), (1, 5))]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert not np.array_equal(draws[0], draws[3])


@pytest.mark.parametrize('name', ['random', 'lidar', 'tracks'])
def test_points_are_those_of_the_ground_truth(name):
    sample = rooms(dict(PATTERNS[name], seed=0))[0]['data_samples']
    chosen = sample.sparse_depth > 0
    assert chosen.any()
    assert (sample.sparse_depth[chosen] == sample.gt_depth[chosen]).all()


def scene_results(world='rooms', **changes):
    results = dict(render_scene(world, 0, 0, 'train', (HEIGHT, WIDTH)), sample_idx=0)
    return results | changes


def test_time_of_flight_is_the_mean_of_each_block():
    results = scene_results()
    depth = results['gt_depth']
    depth[:8, :8] = 0  # one block without ground truth, and one with less than half of it
    depth[8:16, :5] = 0
    points = LowResolutionToF(factor=8, seed=0)(results)['sparse_depth']
    rows, columns = np.nonzero(points)
    assert len(rows) == 48 - 2
    for row, column in zip(rows, columns, strict=True):
        block = depth[row // 8 * 8 : row // 8 * 8 + 8, column // 8 * 8 : column // 8 * 8 + 8]
        assert points[row, column] == pytest.approx(block[block > 0].mean(), rel=1e-5)
    near = LowResolutionToF(factor=8, max_range=2.5, seed=0)(scene_results())['sparse_depth']
    assert 0 < near.max() <= 2.5


def test_a_beam_has_one_elevation():
    results = scene_results('streets')
    fy, cy = results['cam_intrinsic'][1][1], results['cam_intrinsic'][1][2]
    fx, cx = results['cam_intrinsic'][0][0], results['cam_intrinsic'][0][2]
    results['gt_depth'] = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    points = LidarLines(num_lines=4, num_beams=4, seed=0)(results)['sparse_depth']
    rows, columns = np.nonzero(points)
    x, y = (columns - cx) / fx, (rows - cy) / fy
    elevation = np.degrees(np.arctan2(-y, np.sqrt(1 + x**2)))
    low, high = np.degrees(np.arctan((cy - np.array([HEIGHT - 0.5, -0.5])) / fy))
    beams = low + (np.arange(4) + 0.5) / 4 * (high - low)
    half_pixel = np.degrees(0.51 / fy)
    assert np.abs(elevation[:, None] - beams).min(axis=1).max() < half_pixel
    assert len(rows) > 3 * WIDTH
    # Without a camera, beams are rows.
    del results['cam_intrinsic']
    points = LidarLines(num_lines=4, num_beams=4, seed=0)(results)['sparse_depth']
    assert np.unique(np.nonzero(points)[0]).tolist() == [6, 18, 30, 42]


def test_tracks_lie_at_corners():
    results = scene_results()
    img = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    img[10:30:5, 10:50:5] = 255  # dots in the upper half
    results.update(img=img, gt_depth=np.ones((HEIGHT, WIDTH), np.float32))
    rows, columns = np.nonzero(FeatureTracks(num_points=40, seed=0)(results)['sparse_depth'])
    assert len(rows) == 40
    near_dot = (np.abs((rows % 5 + 2) % 5 - 2) <= 2) & (rows < 32) & (columns > 7) & (columns < 50)
    assert near_dot.mean() > 0.95


def test_noise_and_dropout_have_the_stated_size():
    depth = np.full((200, 200), 4.0, np.float32)
    results = dict(img=np.zeros((200, 200, 3), np.uint8), gt_depth=depth, sample_idx=0)
    pattern = RandomPoints(share=1.0, noise=0.05, dropout=0.3, seed=0)
    points = pattern(results)['sparse_depth']
    assert (points > 0).mean() == pytest.approx(0.7, abs=0.01)
    errors = np.log(points[points > 0] / 4)
    assert errors.std() == pytest.approx(0.05, rel=0.02)
    assert abs(errors.mean()) < 0.001


def test_a_mixture_has_its_shares():
    mixture = ChoosePattern(
        [dict(type='RandomPoints', num_points=7), dict(type='LowResolutionToF', factor=8)],
        weights=[3, 1],
        no_points=0.2,
        seed=0,
    )
    base = scene_results()
    counts = []
    for index in range(400):
        results = mixture(dict(base, sample_idx=index))
        counts.append(int((results['sparse_depth'] > 0).sum()))
    shares = [counts.count(number) / 400 for number in (0, 7, 48)]
    assert shares == pytest.approx([0.2, 0.6, 0.2], abs=0.05)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: RandomPoints(), 'num_points or share'),
        (lambda: RandomPoints(share=1.5), 'at most 1'),
        (lambda: RandomPoints(num_points=5, dropout=1.0), 'dropout'),
        (lambda: LidarLines(num_lines=65), '65 lines of 64 beams'),
        (lambda: LidarLines(elevation=(3, -3)), 'lowest, highest'),
        (lambda: LowResolutionToF(), 'factor or share'),
        (lambda: FeatureTracks(share=0.1, radius=0), 'radius'),
        (lambda: ChoosePattern([dict(type='RandomFlip')]), 'RandomFlip is no pattern'),
        (lambda: ChoosePattern([PATTERNS['tof']], weights=[1, 2]), 'as many numbers'),
    ],
)
def test_impossible_patterns_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_patterns_need_ground_truth_on_the_pixels_of_the_image():
    results = scene_results()
    with pytest.raises(ValueError, match='behind LoadDepth'):
        RandomPoints(num_points=5)({'img': results['img']})
    resized = Resize((32, 24), resize_depth=False)(copy.deepcopy(results))
    for pattern in (RandomPoints(num_points=5), ChoosePattern([PATTERNS['random']])):
        with pytest.raises(ValueError, match='in front of a Resize'):
            pattern(resized)


def test_points_of_another_size_are_refused_when_packing():
    results = dict(img=np.zeros((8, 9, 3), np.uint8), sparse_depth=np.zeros((8, 8), np.float32))
    with pytest.raises(ValueError, match='sparse_depth of the sample is 8x8, the image 8x9'):
        PackDepthInputs()(results)


def test_files_of_points(tmp_path):
    metres = np.zeros((4, 5), np.float32)
    metres[1, 2], metres[3, 4] = 2.5, 7.75
    cv2.imwrite(str(tmp_path / 'a.png'), (metres * 256).astype(np.uint16))
    np.save(tmp_path / 'a.npy', metres)
    assert np.array_equal(read_sparse_depth(tmp_path / 'a.png', 256), metres)
    assert np.array_equal(read_sparse_depth(tmp_path / 'a.npy'), metres)
    img = np.zeros((4, 5, 3), np.uint8)
    results = dict(img=img, sparse_path=str(tmp_path / 'a.png'), depth_scale=256.0, max_depth=80.0)
    assert np.array_equal(LoadSparseDepth()(dict(results))['sparse_depth'], metres)
    # An image alone has none, and what is there already stays.
    assert 'sparse_depth' not in LoadSparseDepth()(dict(img=img))
    given = LoadSparseDepth()(dict(results, sparse_depth=metres + 1))
    assert np.array_equal(given['sparse_depth'], metres + 1)
    with pytest.raises(ValueError, match='put LoadSparseDepth in front of RandomFlip'):
        LoadSparseDepth()(RandomFlip(prob=1.0)(dict(results)))


@pytest.mark.parametrize(
    ('values', 'scale', 'message'),
    [
        (np.full((4, 6), 2.0, 'f4'), None, '4x6, expected 4x5'),
        (np.full((4, 5), -2.0, 'f4'), None, 'negative'),
        (np.full((4, 5), np.inf, 'f4'), None, 'NaN or infinite'),
        (np.full((4, 5), np.nan, 'f4'), None, 'NaN or infinite'),
        (np.full((4, 5), 2000.0, 'f4'), None, 'median depth of 2000 m'),
        (np.full((4, 5), 512, np.uint16), None, 'integers per metre'),
        (np.full((4, 5), 2, np.uint16), 256, 'median depth of 0.007812 m'),
        (np.full((4, 5, 3), 2.0, 'f4'), None, 'expected depth'),
    ],
)
def test_impossible_points_are_refused_with_their_file(tmp_path, values, scale, message):
    path = tmp_path / 'scan.npy'
    np.save(path, values)
    results = dict(img=np.zeros((4, 5, 3), np.uint8), sparse_path=str(path), depth_scale=scale)
    with pytest.raises(ValueError, match=f'scan.npy.*{message}'):
        LoadSparseDepth()(dict(results, max_depth=10.0))


def test_the_nyu_pipeline_leaves_500_points_of_the_central_window_at_half_size():
    cfg = load_config(REPO / 'configs/_base_/datasets/nyu_completion.py')
    steps = build_pipeline(cfg.test_dataloader.dataset.pipeline[2:])  # behind the loaders
    depth = np.random.RandomState(0).uniform(1, 9, (480, 640)).astype(np.float32)
    depth[:, ::3] = 0
    results = dict(img=np.zeros((480, 640, 3), np.uint8), gt_depth=depth, sample_idx=7)
    results['cam_intrinsic'] = np.array([[518.9, 0, 319.5], [0, 519.5, 239.5], [0, 0, 1.0]])
    for step in steps:
        results = step(results)
    sample = results['data_samples']
    assert results['inputs'].shape == (3, 228, 304)
    # Half size takes the lower right pixel of each 2x2, whose corner is the middle of the four.
    assert np.array_equal(sample.gt_depth, depth[1::2, 1::2][6:234, 8:312])
    assert int((sample.sparse_depth > 0).sum()) == 500
    assert sample.intrinsics[:2, 2].tolist() == [159.5 - 8, 119.5 - 6]
