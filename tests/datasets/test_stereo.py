import json

import cv2
import numpy as np
import pytest
import torch

from depth.datasets import KITTIRawDataset, StereoFolderDataset, SyntheticDataset
from depth.datasets.transforms import (
    ColorJitterPair,
    LoadDepthHint,
    LoadImage,
    LoadPair,
    LoadStereoDepth,
    LoadVelodyneDepth,
    NominalIntrinsics,
    PackDepthInputs,
    PackStereoInputs,
    PairFromScene,
    RandomCrop,
    RandomFlip,
    Resize,
)
from depth.datasets.transforms.color import jitter
from depth.datasets.velodyne import project_velodyne
from depth.models.layers import synthesize_view
from tests.shared import SAMPLES, needs_samples


def warp_error(sample, sign=1.0):
    """Return the mean colour difference (0..255) of the other view, warped with the ground truth, from the image."""
    transform = sample.stereo_extrinsics[None].clone()
    transform[0, 0, 3] *= sign
    depth = sample.gt_depth[None, None]
    geometry = sample.intrinsics[None], transform, sample.other_intrinsics[None]
    warped = synthesize_view(sample.clean_other_img[None].float(), depth, *geometry)
    difference = (warped - sample.clean_img[None].float()).abs().mean(dim=1, keepdim=True)
    return difference[depth > 0].mean().item()


@pytest.mark.parametrize('side', ['left', 'right'])
@pytest.mark.parametrize('mirrored', [False, True])
def test_geometry_holds_after_crop_mirror_and_sides(side, mirrored):
    pipeline = [
        PairFromScene(right_prob=float(side == 'right')),
        RandomCrop(crop_size=(48, 100)),
        RandomFlip(prob=float(mirrored)),
        ColorJitterPair(prob=1.0),
        PackStereoInputs(),
    ]
    dataset = SyntheticDataset(
        'rooms', 3, image_size=(64, 128), stereo=True, noise=0.0, pipeline=pipeline
    )
    for index in range(3):
        sample = dataset[index]['data_samples']
        assert sample.clean_img.shape == (3, 48, 100)
        assert (sample.stereo_extrinsics[0, 3] < 0) == ((side == 'left') != mirrored)
        right, wrong, none = (warp_error(sample, sign) for sign in (1.0, -1.0, 0.0))
        assert right < 0.5 * none
        assert none < wrong


def resize_pair(scale):
    return Resize(scale, resize_depth=False, interpolation='lanczos')


def test_colours_may_change_before_the_geometry():
    geometry = [RandomCrop(crop_size=(48, 100)), RandomFlip(prob=1.0), resize_pair((50, 24))]
    pipeline = [PairFromScene(), ColorJitterPair(prob=0.0), *geometry, PackStereoInputs()]
    packed = SyntheticDataset('rooms', 1, image_size=(64, 128), stereo=True, pipeline=pipeline)[0]
    sample = packed['data_samples']
    assert sample.clean_img.shape == (3, 24, 50)
    assert torch.equal(sample.clean_img, packed['inputs'])
    assert torch.equal(sample.clean_other_img, sample.other_img)


def test_resizing_keeps_the_geometry():
    pipeline = [PairFromScene(), resize_pair((96, 64)), PackStereoInputs()]
    dataset = SyntheticDataset(
        'rooms', 1, image_size=(128, 192), stereo=True, noise=0.0, pipeline=pipeline
    )
    sample = dataset[0]['data_samples']
    sample.gt_depth = sample.gt_depth[::2, ::2].contiguous()
    assert warp_error(sample) < 0.6 * warp_error(sample, 0.0)


def test_both_views_get_the_same_colours_and_clean_copies():
    image = np.random.RandomState(0).randint(0, 256, (16, 24, 3), dtype=np.uint8)
    results = dict(img=image, other_img=image.copy(), rng=np.random.RandomState(1))
    changed = ColorJitterPair(prob=1.0)(dict(results))
    assert np.array_equal(changed['img'], changed['other_img'])
    assert not np.array_equal(changed['img'], image)
    assert np.array_equal(changed['clean_img'], image)
    assert np.array_equal(changed['clean_other_img'], image)
    unchanged = ColorJitterPair(prob=0.0)(dict(results))
    assert np.array_equal(unchanged['img'], image)
    np.testing.assert_allclose(
        jitter(image, [('brightness', 1.5)]), np.minimum(image * 1.5, 255), atol=1
    )
    grey = jitter(image, [('saturation', 0.0)])
    np.testing.assert_allclose(
        grey, (image @ [0.114, 0.587, 0.299])[..., None].repeat(3, axis=2), atol=1
    )


def test_nominal_intrinsics_follow_the_size():
    results = NominalIntrinsics()(dict(img=np.zeros((192, 640, 3), np.uint8)))
    expected = [[0.58 * 640, 0, 320], [0, 1.92 * 192, 96], [0, 0, 1]]
    np.testing.assert_allclose(results['cam_intrinsic'], expected)
    np.testing.assert_allclose(results['other_cam_intrinsic'], expected)


def test_hints_are_read_in_metres_and_bad_ones_refused(tmp_path):
    path = tmp_path / 'hint.npy'
    np.save(path, np.full((1, 4, 6), 2.0, np.float32))
    hint = LoadDepthHint(unit=5.4)(dict(depth_hint_path=str(path)))['depth_hint']
    assert hint.shape == (4, 6)
    np.testing.assert_allclose(hint, 10.8, rtol=1e-6)
    np.save(path, np.zeros((2, 4, 6)))
    with pytest.raises(ValueError, match=r'shape \(2, 4, 6\)'):
        LoadDepthHint()(dict(depth_hint_path=str(path)))
    path.write_bytes(b'\x93NUMPY broken')
    with pytest.raises(ValueError, match='cannot be read'):
        LoadDepthHint()(dict(depth_hint_path=str(path)))
    with pytest.raises(FileNotFoundError, match='precompute_depth_hints'):
        LoadDepthHint()(dict(depth_hint_path=str(tmp_path / 'none.npy')))


DRIVE = '2011_09_26/2011_09_26_drive_9999_sync'


@pytest.fixture
def kitti_root(tmp_path):
    """A recording with one frame: PNG on the left, JPEG on the right."""
    for folder, suffix, value in (('image_02', 'png', 10), ('image_03', 'jpg', 200)):
        path = tmp_path / DRIVE / folder / 'data'
        path.mkdir(parents=True)
        cv2.imwrite(str(path / f'0000000042.{suffix}'), np.full((37, 124, 3), value, np.uint8))
    (tmp_path / 'split.txt').write_text(f'{DRIVE} 42 l\n{DRIVE} 0000000042 r\n')
    calib = 'P_rect_02: 721.5 0 609.5 44.85 0 721.5 172.8 0.2 0 0 1 0\n'
    calib += 'P_rect_03: 721.5 0 609.5 -339.5 0 721.5 172.8 2.2 0 0 1 0\n'
    (tmp_path / '2011_09_26' / 'calib_cam_to_cam.txt').write_text(calib)
    return tmp_path


def test_kitti_raw_lists_pairs_of_either_type(kitti_root):
    options = dict(data_root=str(kitti_root), ann_file='split.txt', stereo=True, hint_root='hints')
    dataset = KITTIRawDataset(**options, pipeline=[LoadPair()])
    left, right = dataset[0], dataset[1]
    assert (left['side'], right['side']) == ('left', 'right')
    assert (
        left['img_path']
        == right['other_img_path']
        == str(kitti_root / DRIVE / 'image_02/data/0000000042.png')
    )
    assert (
        right['img_path']
        == left['other_img_path']
        == str(kitti_root / DRIVE / 'image_03/data/0000000042.jpg')
    )
    assert left['depth_hint_path'] == str(kitti_root / 'hints' / DRIVE / 'image_02/0000000042.npy')
    assert left['velodyne_path'] == str(kitti_root / DRIVE / 'velodyne_points/data/0000000042.bin')
    assert left['stereo_extrinsics'][0, 3] == -right['stereo_extrinsics'][0, 3] == -0.54
    assert left['img'].mean() < 20 < 180 < left['other_img'].mean()
    calibrated = KITTIRawDataset(**options, baseline=None)
    assert calibrated[0]['baseline'] == pytest.approx((44.85 + 339.5) / 721.5)


def test_a_scan_becomes_ground_truth_of_one_size(kitti_root):
    calib_file = kitti_root / '2011_09_26' / 'calib_cam_to_cam.txt'
    calib_file.write_text(
        calib_file.read_text() + 'R_rect_00: 1 0 0 0 1 0 0 0 1\nS_rect_02: 124 37\n'
    )
    axes = 'R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 -0.27\n'  # the camera looks along the scanner's forward axis
    (kitti_root / '2011_09_26' / 'calib_velo_to_cam.txt').write_text(axes)
    scan = kitti_root / DRIVE / 'velodyne_points' / 'data' / '0000000042.bin'
    scan.parent.mkdir(parents=True)
    np.array([[400.0, 300, 90, 0.5]], np.float32).tofile(scan)
    options = dict(data_root=str(kitti_root), ann_file='split.txt')
    expected = {'forward': 400.0, 'camera': 399.73}
    for axis, depth in expected.items():
        pipeline = [LoadImage(), resize_pair((64, 32)), LoadVelodyneDepth(axis), PackDepthInputs()]
        packed = KITTIRawDataset(**options, pipeline=pipeline)[0]
        gt_depth = packed['data_samples'].gt_depth
        assert packed['inputs'].shape == (3, 32, 64)
        assert gt_depth.shape == packed['data_samples'].ori_shape == (375, 1242)
        assert gt_depth.max().item() == pytest.approx(depth, abs=0.01)
        # Column 609.5 - 721.5 * 300 / 399.73 plus the baseline's share, 68 from 0 (67 as
        # published), and ten times as many pixels.
        column = dict(forward=67, camera=68)[axis]
        assert gt_depth.nonzero().float().mean(dim=0)[1].item() == pytest.approx(
            10.016 * (column + 0.5) - 0.5, abs=1
        )
    native = KITTIRawDataset(**options, pipeline=[LoadImage(), LoadVelodyneDepth(size=None)])[0]
    assert native['gt_depth'].shape == (37, 124)
    scan.unlink()
    with pytest.raises(FileNotFoundError, match=r'laser scan .*0000000042\.bin does not exist'):
        KITTIRawDataset(**options, pipeline=[LoadImage(), LoadVelodyneDepth()])[0]
    with pytest.raises(ValueError, match='depth_axis'):
        LoadVelodyneDepth('x')


@pytest.mark.parametrize(
    'line', ['2011_09_26 42 l', f'{DRIVE} 42', f'{DRIVE} 42 x', f'{DRIVE} a l']
)
def test_malformed_split_lines_are_named(kitti_root, line):
    (kitti_root / 'split.txt').write_text(f'{DRIVE} 42 l\n{line}\n')
    with pytest.raises(ValueError, match=r'split.txt, line 2 should read "DATE/DRIVE FRAME l\|r"'):
        KITTIRawDataset(data_root=str(kitti_root), ann_file='split.txt')


PIPELINE = [LoadPair(), LoadStereoDepth(), PackStereoInputs()]


@needs_samples
def test_real_pairs_agree_with_their_ground_truth():
    dataset = StereoFolderDataset(str(SAMPLES / 'stereo'), pipeline=PIPELINE)
    kitti, motorcycle = (dataset[index]['data_samples'] for index in range(2))
    depth = motorcycle.gt_depth[motorcycle.gt_depth > 0]
    actual = [depth.min().item(), depth.median().item(), depth.max().item()]
    # Recorded with the samples, as are the errors.
    assert actual == pytest.approx([2.110, 2.750, 5.017], abs=2e-3)
    assert (depth.numel() / motorcycle.gt_depth.numel()) == pytest.approx(0.9265, abs=1e-4)
    assert warp_error(motorcycle) == pytest.approx(7.7, abs=0.3)
    assert warp_error(kitti) == pytest.approx(17.0, abs=0.5)
    motorcycle.gt_depth = motorcycle.gt_depth * 1.1
    assert warp_error(motorcycle) > 15


@needs_samples
def test_a_real_scan_lands_where_the_sample_says():
    lines = (SAMPLES / 'stereo' / 'calib' / 'kitti_demo.txt').read_text().splitlines()
    calib = {
        line.split(':')[0]: np.array(line.split(':')[1].split(), float)
        for line in lines
        if ':' in line
    }
    rectify, rigid = np.eye(4), np.eye(4)
    rectify[:3, :3], rigid[:3] = (
        calib['R0_rect'].reshape(3, 3),
        calib['Tr_velo_to_cam'].reshape(3, 4),
    )
    projection = calib['P2'].reshape(3, 4) @ rectify @ rigid
    points = np.fromfile(SAMPLES / 'stereo' / 'velodyne' / 'kitti_demo.bin', np.float32).reshape(
        -1, 4
    )
    actual = project_velodyne(points, projection, (375, 1242), 'camera')
    expected = (
        cv2.imread(str(SAMPLES / 'stereo' / 'depth' / 'kitti_demo.png'), cv2.IMREAD_UNCHANGED) / 256
    )
    agree = np.abs(actual - expected) < 1 / 256
    assert agree[expected > 0].mean() > 0.999
    forward = project_velodyne(points, projection, (375, 1242), 'forward')[
        :-1, :-1
    ]  # shifted, as published
    both = (actual[1:, 1:] > 0) & (forward > 0)
    assert np.median((forward - actual[1:, 1:])[both]) == pytest.approx(0.27, abs=0.05)


@needs_samples
def test_both_sides_of_real_pairs():
    dataset = StereoFolderDataset(
        str(SAMPLES / 'stereo'), sides=('left', 'right'), pipeline=[LoadPair()]
    )
    assert [dataset.get_data_info(index)['side'] for index in range(4)] == ['left', 'right'] * 2
    left, right = dataset[2], dataset[3]
    assert right['cam_intrinsic'][0, 2] - left['cam_intrinsic'][0, 2] == pytest.approx(31.086)
    assert 'disparity_path' in left and 'disparity_path' not in right
    np.testing.assert_array_equal(left['img'], right['other_img'])


def write_pair(root, **entry):
    for folder in ('left', 'right'):
        (root / folder).mkdir(exist_ok=True)
        cv2.imwrite(str(root / folder / 'a.png'), np.zeros((8, 12, 3), np.uint8))
    (root / 'intrinsics.json').write_text(json.dumps(entry))


def test_a_folder_tells_what_it_lacks(tmp_path):
    camera = dict(fx=10, fy=10, cx=5, cy=4)
    write_pair(tmp_path, **camera, baseline_m=0.2)
    sample = StereoFolderDataset(str(tmp_path), pipeline=[LoadPair()])[0]
    assert sample['stereo_extrinsics'][0, 3] == -0.2
    write_pair(tmp_path, a=camera)
    with pytest.raises(ValueError, match='baseline_m'):
        StereoFolderDataset(str(tmp_path))
    write_pair(tmp_path, b=dict(camera, baseline_m=0.2))
    with pytest.raises(ValueError, match=r'no entry in intrinsics\.json'):
        StereoFolderDataset(str(tmp_path))
    write_pair(tmp_path, **camera, baseline_m=0.2)
    cv2.imwrite(str(tmp_path / 'right' / 'a.png'), np.zeros((8, 10, 3), np.uint8))
    with pytest.raises(ValueError, match='a rectified pair has one size'):
        StereoFolderDataset(str(tmp_path), pipeline=[LoadPair()])[0]
    (tmp_path / 'right' / 'a.png').unlink()
    with pytest.raises(ValueError, match='no right image'):
        StereoFolderDataset(str(tmp_path))
    with pytest.raises(ValueError, match='stereo=True'):
        PairFromScene()(dict(img=np.zeros((4, 4, 3), np.uint8)))


def test_packed_pairs_hold_what_the_loss_needs():
    pipeline = [PairFromScene(), PackStereoInputs()]
    packed = SyntheticDataset('streets', 1, image_size=(32, 64), stereo=True, pipeline=pipeline)[0]
    sample = packed['data_samples']
    assert torch.equal(packed['inputs'], sample.clean_img)
    for key in ('clean_img', 'clean_other_img', 'other_img'):
        assert sample.get(key).shape == (3, 32, 64) and sample.get(key).dtype == torch.uint8
    assert sample.stereo_extrinsics[0, 3].item() == pytest.approx(-0.54)
    assert sample.metainfo['side'] == 'left'
