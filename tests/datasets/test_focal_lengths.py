"""Images of several focal lengths: rendering, and the resize to the canonical camera."""

import json

import cv2
import numpy as np
import pytest

from depth.cli.render import main as render
from depth.datasets import SyntheticDataset
from depth.datasets.scenes import camera_matrix, render_scene
from depth.datasets.transforms import RandomCrop, RandomFlip, RandomRotate, ResizeToFocal

SHARES = [0.6, 0.85, 1.2]


def room(share, size=(96, 128), index=3):
    camera = camera_matrix('rooms', size, share)
    return render_scene('rooms', 0, index, 'test', size, noise=0, intrinsic=camera)


def resized(scene, focal=108.8, **options):
    results = dict(
        img=scene['img'], gt_depth=scene['gt_depth'], cam_intrinsic=scene['cam_intrinsic']
    )
    results['img_path'] = 'room.png'
    return ResizeToFocal(focal, **options).transform(results)


@pytest.mark.parametrize('share', SHARES)
def test_a_resized_image_is_the_one_that_the_canonical_camera_takes(share):
    results = resized(room(share))
    camera = results['cam_intrinsic']
    shape = results['img'].shape[:2]
    assert shape == (round(96 * 0.85 / share), round(128 * 0.85 / share))
    np.testing.assert_allclose(camera[[0, 1], [0, 1]], 108.8, rtol=0.01)
    # Rendered by a camera of that matrix, not resized.
    direct = render_scene('rooms', 0, 3, 'test', shape, noise=0, intrinsic=camera)
    depth_error = np.abs(results['gt_depth'] / direct['gt_depth'] - 1)
    assert np.median(depth_error) < 0.01
    image_error = np.abs(results['img'].astype(float) - direct['img'])
    assert image_error.mean() < 6  # of 255
    # The image as it was is another one: its pixels see other directions.
    if share != 0.85:
        before = cv2.resize(room(0.85)['gt_depth'], shape[::-1], interpolation=cv2.INTER_NEAREST)
        assert np.median(np.abs(before / direct['gt_depth'] - 1)) > 0.02


def test_an_image_of_the_canonical_focal_length_stays_bit_for_bit():
    scene = room(0.85)
    results = resized(scene)
    assert np.array_equal(results['img'], scene['img'])
    assert np.array_equal(results['gt_depth'], scene['gt_depth'])
    np.testing.assert_allclose(results['cam_intrinsic'], scene['cam_intrinsic'])


def test_depth_stays_metres_and_tests_keep_the_size_of_ground_truth():
    scene = room(1.2)
    results = resized(scene, resize_depth=False)
    assert results['ori_shape'] == (96, 128) and results['gt_depth'].shape == (96, 128)
    assert results['img'].shape[:2] == (68, 91)
    whole = resized(scene)
    assert abs(np.median(whole['gt_depth']) / np.median(scene['gt_depth']) - 1) < 0.02
    assert resized(scene, multiple=16)['img'].shape[:2] == (64, 96)


def test_pixels_become_square():
    scene = room(0.85)
    scene['cam_intrinsic'] = scene['cam_intrinsic'] * [[2], [1], [1]]
    results = resized(scene)
    assert results['img'].shape[:2] == (96, 64)
    np.testing.assert_allclose(results['cam_intrinsic'][[0, 1], [0, 1]], 108.8)


def test_the_focal_length_survives_crop_flip_and_rotation():
    results = resized(room(0.6)) | dict(rng=np.random.RandomState(0))
    for transform in (RandomRotate(prob=1.0, degree=5.0), RandomCrop((64, 88)), RandomFlip(1.0)):
        results = transform.transform(results)
    assert results['img'].shape[:2] == (64, 88)
    np.testing.assert_allclose(results['cam_intrinsic'][[0, 1], [0, 1]], 108.8, rtol=0.01)


@pytest.mark.parametrize('value', [None, 0.0, -3.0, float('nan'), float('inf')])
def test_an_image_without_a_possible_camera_is_named(value):
    scene = room(0.85)
    scene['cam_intrinsic'] = None if value is None else np.diag([value, 100.0, 1.0])
    with pytest.raises(ValueError, match=r'room\.png.*intrinsics'):
        resized(scene)


@pytest.mark.parametrize('focal', [0, -1.0, float('inf')])
def test_an_impossible_canonical_camera_is_refused(focal):
    with pytest.raises(ValueError, match=r'ResizeToFocal\.focal'):
        ResizeToFocal(focal)


def test_a_data_set_shows_every_scene_with_every_focal_length():
    options = dict(num_scenes=2, split='test', image_size=(24, 32), noise=0)
    dataset = SyntheticDataset(**options, focal_shares=SHARES)
    assert len(dataset) == 6
    for index in range(6):
        sample = dataset[index]
        expected = camera_matrix('rooms', (24, 32), SHARES[index % 3])
        np.testing.assert_array_equal(sample['cam_intrinsic'], expected)
        np.testing.assert_array_equal(sample['ori_cam_intrinsic'], expected)
        direct = render_scene('rooms', 0, index // 3, 'test', (24, 32), noise=0, intrinsic=expected)
        assert np.array_equal(sample['gt_depth'], direct['gt_depth'])
    # The world's camera is the default: nothing of older configs changes.
    plain, same = SyntheticDataset(**options), SyntheticDataset(**options, focal_shares=[0.85])
    assert np.array_equal(plain[1]['img'], same[1]['img'])
    with pytest.raises(ValueError, match='focal_shares'):
        SyntheticDataset(focal_shares=[0.85, 0])


def test_an_evenly_lit_room_is_the_same_room_whose_brightness_tells_no_distance():
    lamp, even = (
        SyntheticDataset(
            num_scenes=40, split='test', image_size=(24, 32), noise=0, even_light=even_light
        )
        for even_light in (False, True)
    )
    correlations = []
    for dataset in (lamp, even):
        brightness, distance = [], []
        for index in range(40):
            sample = dataset[index]
            brightness.append(np.log(sample['img'].mean()))
            distance.append(np.log(sample['gt_depth'].mean()))
        correlations.append(np.corrcoef(brightness, distance)[0, 1])
    assert np.array_equal(lamp[0]['gt_depth'], even[0]['gt_depth'])
    assert correlations[0] < -0.5 and abs(correlations[1]) < 0.4


def test_the_command_renders_the_same_rooms_with_another_focal_length(tmp_path):
    common = ['--num-scenes', '1', '--split', 'test', '--image-size', '24', '32']
    for name, options in (('world', []), ('tele', ['--focal', '1.2'])):
        assert render(['--out', str(tmp_path / name), *common, *options]) == 0
    cameras = json.loads((tmp_path / 'tele/intrinsics.json').read_text())
    assert '38.4' in json.dumps(cameras)  # 1.2 * 32
    tele = cv2.imread(str(tmp_path / 'tele/depth/00000.png'), cv2.IMREAD_UNCHANGED) / 1000
    camera = camera_matrix('rooms', (24, 32), 1.2)
    direct = render_scene('rooms', 0, 0, 'test', (24, 32), intrinsic=camera)
    np.testing.assert_allclose(tele, direct['gt_depth'], atol=1e-3)
    for options in (['--focal', '0'], ['--layout', 'nyu', '--focal', '1.2']):
        with pytest.raises(SystemExit):
            render(['--out', str(tmp_path / 'x'), *options])
