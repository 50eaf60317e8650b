"""The shipped KITTI pipelines on a rendered scene in KITTI raw's layout."""

import cv2
import numpy as np
import pytest

from depth.datasets.samplers import SampleIndex
from depth.datasets.scenes import render_scene
from depth.engine.config import load_config
from depth.models.layers import synthesize_view
from depth.models.losses import photometric_error
from depth.registry import DATASETS
from projects.EPCDepth.depth_hints import hint_steps, write_hint
from tests.shared import REPO

DRIVE = '2011_09_26/2011_09_26_drive_9999_sync'
SIZE = (96, 320)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('kitti_raw')
    scene = render_scene('streets', 0, 3, 'train', SIZE, stereo=True)
    for camera, key in (('image_02', 'img'), ('image_03', 'img_right')):
        path = folder / DRIVE / camera / 'data' / '0000000007.png'
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), scene[key])
    write_scan(folder, scene['gt_depth'], scene['cam_intrinsic'])
    (folder / 'splits').mkdir()
    (folder / 'splits' / 'eigen_full_train.txt').write_text(f'{DRIVE} 7 l\n{DRIVE} 7 r\n')
    (folder / 'splits' / 'eigen_test.txt').write_text(f'{DRIVE} 0000000007 l\n')
    return folder


def write_scan(folder, depth, matrix):
    """Write the left view's depth as a laser scan, and a calibration in which scanner and camera stand in one place."""
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns]
    x, y = (columns - matrix[0, 2]) / matrix[0, 0] * z, (rows - matrix[1, 2]) / matrix[1, 1] * z
    scan = folder / DRIVE / 'velodyne_points' / 'data' / '0000000007.bin'
    scan.parent.mkdir(parents=True)
    np.stack([z, -x, -y, np.ones_like(z)], axis=1).astype(np.float32).tofile(scan)
    # KITTI's projection counts pixels from 1.
    projection = np.hstack([np.add(matrix, [[0, 0, 1], [0, 0, 1], [0, 0, 0]]), np.zeros((3, 1))])
    numbers = ' '.join(map(str, projection.ravel()))
    cameras = f'P_rect_02: {numbers}\nP_rect_03: {numbers}\nR_rect_00: 1 0 0 0 1 0 0 0 1\n'
    cameras += f'S_rect_02: {SIZE[1]} {SIZE[0]}\n'
    day = folder / '2011_09_26'
    (day / 'calib_cam_to_cam.txt').write_text(cameras)
    (day / 'calib_velo_to_cam.txt').write_text('R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n')


def shipped(loader, root):
    cfg = load_config(REPO / 'projects/EPCDepth/configs/EPCDepth/epcdepth_r18_kitti_192x640.py')
    return dict(cfg[loader].dataset, data_root=str(root))


@pytest.mark.slow
def test_hints_of_the_tool_explain_the_views_that_training_sees(root):
    described = shipped('train_dataloader', root)
    steps, unit = hint_steps(described['pipeline'], SIZE[1], SIZE[0])
    bare = DATASETS.build(dict(described, pipeline=[]))
    for index in range(2):
        write_hint(bare.get_data_info(index), steps, unit)
    dataset = DATASETS.build(described)
    seen = set()
    for number in range(12):
        sample = dataset[SampleIndex(number % 2, (0, number))]['data_samples']
        target, other = (
            sample.get(key)[None].float() / 255 for key in ('clean_img', 'clean_other_img')
        )
        assert target.shape == (1, 3, 192, 640)
        hint = sample.depth_hint[None, None]
        geometry = (
            sample.intrinsics[None],
            sample.stereo_extrinsics[None],
            sample.other_intrinsics[None],
        )
        warped = photometric_error(synthesize_view(other, hint, *geometry), target)[hint > 0].mean()
        assert warped < 0.6 * photometric_error(other, target)[hint > 0].mean()
        seen.add(
            (
                sample.metainfo['side'],
                bool(sample.stereo_extrinsics[0, 3] < 0),
                sample.metainfo['flip'],
            )
        )
    assert seen == {
        ('left', True, False),
        ('left', False, True),
        ('right', False, False),
        ('right', True, True),
    }


def test_the_test_set_is_scored_at_one_size_with_the_scan(root):
    packed = DATASETS.build(shipped('test_dataloader', root))[0]
    assert packed['inputs'].shape == (3, 192, 640)
    gt_depth = packed['data_samples'].gt_depth.numpy()
    assert gt_depth.shape == (375, 1242)
    rows = ((np.arange(375) + 0.5) * SIZE[0] / 375).astype(int)
    columns = ((np.arange(1242) + 0.5) * SIZE[1] / 1242).astype(int)
    expected = render_scene('streets', 0, 3, 'train', SIZE)['gt_depth'][rows[:, None], columns]
    agree = np.isclose(gt_depth, expected, rtol=1e-3)
    assert agree.mean() > 0.999
