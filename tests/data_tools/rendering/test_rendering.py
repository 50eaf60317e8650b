import json

import cv2
import numpy as np
import pytest

from depth.data_tools.rendering import (
    MARKER,
    FolderLayout,
    KITTILayout,
    KITTIRawStereoLayout,
    NYULayout,
    render_layout,
)
from depth.datasets import FolderDepthDataset, KITTIBenchmarkDataset, KITTIDataset, NYUDataset
from depth.datasets.cameras import project_points, read_camera_text

LOAD = [dict(type='LoadImage'), dict(type='LoadDepth')]
SIZE = (60, 80)


def test_nyu_layout_is_read_by_its_data_set(tmp_path):
    layout = NYULayout(image_size=SIZE)
    render_layout(layout, tmp_path, dict(train=5, test=1))
    train = NYUDataset(data_root=str(tmp_path), ann_file='nyu_train.txt', pipeline=LOAD)
    test = NYUDataset(data_root=str(tmp_path), ann_file='nyu_test.txt', pipeline=LOAD)
    assert (len(train), len(test)) == (5, 1)
    expected = layout.render('train', 4)
    sample = train[4]
    # Rounded to millimetres.
    assert np.abs(sample['gt_depth'] - expected['gt_depth']).max() <= 0.5e-3 + 1e-6
    assert np.abs(sample['img'].astype(int) - expected['img']).mean() < 6  # JPEG
    assert {sample['scene_class'] for sample in train} == {
        0,
        1,
        3,
        6,
        7,
    }  # kitchen, living, bedroom, dining, office
    assert (
        (tmp_path / 'nyu_train.txt')
        .read_text()
        .startswith('/kitchen_9000/rgb_00000.jpg /kitchen_9000/sync_depth_')
    )


def test_training_and_test_scenes_are_in_different_folders(tmp_path):
    render_layout(NYULayout(image_size=(12, 16)), tmp_path, dict(train=9, test=9))
    folders = [
        {
            line.lstrip('/').split('/')[0]
            for line in (tmp_path / f'nyu_{split}.txt').read_text().splitlines()
        }
        for split in ('train', 'test')
    ]
    assert not folders[0] & folders[1]


def test_the_camera_of_the_pixels_is_the_one_that_is_written():
    """Back-projected with NYU's matrix, the floor of a room is flat; with the world's own matrix it would not be."""
    layout = NYULayout()
    assert layout.intrinsic == pytest.approx(np.array(NYUDataset.CAM_INTRINSIC))
    half = NYULayout(image_size=(240, 320)).intrinsic
    # A pixel of the small image covers two by two of the large one, whose centre is at u = 0.5.
    assert half[0, 2] == pytest.approx((325.5824 - 0.5) / 2)
    assert half[0, 0] == pytest.approx(518.8579 / 2)
    scene = NYULayout(image_size=(24, 32)).render('train', 0)
    depth, normals = scene['gt_depth'], scene['normals']
    v, u = np.mgrid[:24, :32]
    points = (
        np.stack([u, v, np.ones_like(u)], -1)
        @ np.linalg.inv(scene['cam_intrinsic']).T
        * depth[..., None]
    )
    same = np.abs(normals - normals[12, 16]).max(-1) < 1e-6
    offsets = (points @ normals[12, 16].astype(float))[same]
    values, counts = np.unique(offsets.round(4), return_counts=True)
    # Most pixels of one direction lie in one plane.
    assert counts.max() / counts.sum() > 0.5, values


def test_kitti_layout_is_read_by_both_data_sets(tmp_path):
    layout = KITTILayout(image_size=(100, 320))
    render_layout(layout, tmp_path, dict(train=2, test=1))
    prefix = dict(img_path='input', depth_path='gt_depth')
    arguments = dict(data_root=str(tmp_path), data_prefix=prefix, pipeline=LOAD)
    sample = KITTIDataset(ann_file='kitti_eigen_test.txt', **arguments)[0]
    valid = sample['gt_depth'] > 0
    assert 0.05 < valid.mean() < 0.6
    assert sample['gt_depth'].max() <= 80
    assert sample['cam_intrinsic'][0, 0] == pytest.approx(721.5377)
    assert len(KITTIBenchmarkDataset(ann_file='kitti_benchmark_train.txt', **arguments)) == 2
    assert len(KITTIBenchmarkDataset(ann_file='kitti_benchmark_val.txt', **arguments)) == 1
    prefix = dict(img_path='benchmark_test', cam_path='benchmark_test_cam')
    test = KITTIBenchmarkDataset(
        str(tmp_path), ann_file='kitti_benchmark_test.txt', data_prefix=prefix, pipeline=LOAD[:1]
    )
    assert test[0]['cam_intrinsic'] == pytest.approx(layout.intrinsic, abs=1e-5)


def test_benchmark_images_are_cut_with_their_camera(tmp_path):
    layout = KITTILayout()
    img = np.arange(375 * 1242 * 3, dtype=np.uint32).reshape(375, 1242, 3).astype(np.uint8)
    layout._write_benchmark_image(tmp_path, 3, img)
    cut = cv2.imread(str(tmp_path / 'benchmark_test/0000000003.png'))
    assert np.array_equal(cut, img[23:, 13:1229])
    camera = np.array(read_camera_text(tmp_path / 'benchmark_test_cam/0000000003.txt'))
    assert camera[:2, 2] == pytest.approx([609.5593 - 13, 172.854 - 23])


def read_calibration(path):
    pairs = (line.split(': ') for line in path.read_text().splitlines() if 'time' not in line)
    return {name: np.array(values.split(), float) for name, values in pairs}


def test_laser_points_of_the_raw_layout_project_onto_the_rendered_depth(tmp_path):
    """With the published chain P_rect * R_rect * T_velo, into both views."""
    layout = KITTIRawStereoLayout(image_size=(75, 248))
    render_layout(layout, tmp_path, dict(train=1, test=1))
    day, drive = tmp_path / '2011_09_26', '2011_09_26_drive_9000_sync'
    camera, velodyne = (
        read_calibration(day / f'calib_{name}.txt') for name in ('cam_to_cam', 'velo_to_cam')
    )
    points = np.fromfile(day / drive / 'velodyne_points/data/0000000000.bin', np.float32).reshape(
        -1, 4
    )[:, :3]
    assert len(points) > 500
    assert (points[:, 0] > 0).all()  # in front of the car
    in_camera_0 = (points @ velodyne['R'].reshape(3, 3).T + velodyne['T']) @ camera[
        'R_rect_00'
    ].reshape(3, 3).T
    scene = layout.render('train', 0)
    for view, depth in (('02', scene['gt_depth']), ('03', scene['gt_depth_right'])):
        projection = camera[f'P_rect_{view}'].reshape(3, 4)
        shifted = in_camera_0 + np.array([projection[0, 3] / projection[0, 0], 0, 0])
        rendered = project_points(shifted, projection[:, :3], depth.shape)
        hit = rendered > 0
        assert np.median(np.abs(rendered - depth)[hit] / rendered[hit]) < (
            1e-5 if view == '02' else 0.02
        )
    shift = [camera[f'P_rect_{view}'][3] / camera[f'P_rect_{view}'][0] for view in ('02', '03')]
    assert shift[0] - shift[1] == pytest.approx(0.54)


def test_raw_layout_lists_both_views_for_training_and_the_left_for_testing(tmp_path):
    render_layout(
        KITTIRawStereoLayout(image_size=(15, 50)), tmp_path, dict(train=11, val=1, test=1)
    )
    lines = (tmp_path / 'splits/eigen_full_train.txt').read_text().splitlines()
    assert len(lines) == 22
    assert lines[:2] == [f'2011_09_26/2011_09_26_drive_9000_sync 0 {side}' for side in 'lr']
    assert lines[-1] == '2011_09_26/2011_09_26_drive_9001_sync 0 r'
    assert (
        tmp_path / 'splits/eigen_test.txt'
    ).read_text() == '2011_09_26/2011_09_26_drive_9500_sync 0 l\n'
    for drive, frame, side in map(str.split, lines):
        camera = {'l': 'image_02', 'r': 'image_03'}[side]
        assert (tmp_path / drive / camera / 'data' / f'{int(frame):010d}.png').is_file()


@pytest.mark.parametrize('only', [None, 'test'])
def test_folder_layout(tmp_path, only):
    counts = {'test': 1} if only else dict(train=2, val=1)
    render_layout(FolderLayout(only=only, world='streets', image_size=(24, 32)), tmp_path, counts)
    for split, count in counts.items():
        root = tmp_path if only else tmp_path / split
        dataset = FolderDepthDataset(str(root), depth_scale=256.0, max_depth=80.0, pipeline=LOAD)
        assert len(dataset) == count
        assert dataset[0]['cam_intrinsic'][0, 0] == 0.75 * 32


def test_processes_write_what_one_writes(tmp_path):
    for workers in (1, 2):
        render_layout(
            FolderLayout(image_size=(12, 16)), tmp_path / str(workers), dict(train=3), workers
        )
    files = [
        sorted(path.read_bytes() for path in (tmp_path / str(w)).rglob('*.png')) for w in (1, 2)
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 6


def test_real_data_are_never_overwritten(tmp_path):
    (tmp_path / 'nyu_train.txt').write_text('real\n')
    with pytest.raises(FileExistsError, match='may be real data'):
        render_layout(NYULayout(image_size=SIZE), tmp_path, dict(train=1))
    assert (tmp_path / 'nyu_train.txt').read_text() == 'real\n'


def test_a_rendered_folder_says_so_and_can_be_rendered_again(tmp_path):
    for _ in range(2):
        render_layout(FolderLayout(image_size=(12, 16), seed=3), tmp_path, dict(train=1, val=1))
    assert json.loads((tmp_path / MARKER).read_text())['seed'] == 3
    with pytest.raises(ValueError, match='at least one scene'):
        render_layout(FolderLayout(), tmp_path, dict(train=0))
