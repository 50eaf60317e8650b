"""KITTI depth completion: layouts, points and protocol from the files to the metrics."""

import cv2
import numpy as np
import pytest

from depth.data_tools.prepare import Options, build_preparer
from depth.datasets import KITTICompletionDataset
from depth.engine.config import load_config
from depth.registry import DATASETS
from tests.shared import REPO

DRIVE = '2011_09_26_drive_0002_sync'
SHAPE = (352, 1216)


def write_depth(path, depth):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.rint(depth * 256).astype(np.uint16))


@pytest.fixture
def kitti(tmp_path):
    """One frame of each folder, with points on some of the pixels of ground truth."""
    rng = np.random.RandomState(0)
    depth = np.where(rng.rand(*SHAPE) < 0.2, rng.uniform(5, 60, SHAPE), 0)
    points = np.where(rng.rand(*SHAPE) < 0.2, depth, 0)
    img = np.full((*SHAPE, 3), 90, np.uint8)
    selection = tmp_path / 'depth_selection/val_selection_cropped'
    frame = f'{DRIVE}_{{}}_0000000005_image_02'
    anonymous = tmp_path / 'depth_selection/test_depth_completion_anonymous'
    drive = f'{DRIVE}/proj_depth/{{}}/image_02/0000000005.png'
    raw = tmp_path / f'input/2011_09_26/{DRIVE}/image_02/data/0000000005.png'
    images = [selection / 'image' / f'{frame.format("image")}.png', raw]
    images.append(anonymous / 'image/0000000000.png')
    for path in images:
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), img)
    write_depth(selection / 'velodyne_raw' / f'{frame.format("velodyne_raw")}.png', points)
    write_depth(selection / 'groundtruth_depth' / f'{frame.format("groundtruth_depth")}.png', depth)
    write_depth(anonymous / 'velodyne_raw/0000000000.png', points)
    write_depth(tmp_path / 'velodyne_raw' / drive.format('velodyne_raw'), points)
    write_depth(tmp_path / 'gt_depth' / drive.format('groundtruth'), depth)
    (selection / 'intrinsics').mkdir()
    camera = selection / 'intrinsics' / f'{frame.format("image")}.txt'
    camera.write_text('721.5377 0 596.5593 0 721.5377 149.854 0 0 1')
    line = f'2011_09_26/{DRIVE}/image_02/data/0000000005.png {drive.format("groundtruth")}\n'
    for name in ('kitti_benchmark_train.txt', 'mine.txt'):
        (tmp_path / name).write_text(line)
    return tmp_path, depth, points


def stored(depth):
    return (np.rint(depth * 256) / 256).astype(np.float32)


def test_every_layout_gives_image_points_and_ground_truth(kitti):
    root, depth, points = kitti
    cfg = load_config(REPO / 'configs/_base_/datasets/kitti_completion.py')
    cfg.train_dataloader.dataset.pipeline = cfg.test_dataloader.dataset.pipeline
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(root)
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) == 1
        sample = dataset[0]['data_samples']
        assert np.array_equal(sample.sparse_depth, stored(points))
        assert np.array_equal(sample.gt_depth, stored(depth))
        assert sample.dataset == 'kitti_completion'
        assert sample.intrinsics[0, 0] == pytest.approx(721.5377)
    assert (dataset.split_name(), dataset.published_count()) == ('val_selection', 1000)
    prefix = cfg.train_dataloader.dataset.data_prefix
    train = KITTICompletionDataset(str(root), 'kitti_benchmark_train.txt', prefix, lazy_init=True)
    assert train.published_count() == 85898


def test_the_test_images_have_points_and_no_ground_truth(kitti):
    root, _, points = kitti
    pipeline = [dict(type='LoadImage'), dict(type='LoadSparseDepth'), dict(type='PackDepthInputs')]
    sample = KITTICompletionDataset(str(root), split='test', pipeline=pipeline)[0]['data_samples']
    assert 'gt_depth' not in sample
    assert np.array_equal(sample.sparse_depth, stored(points))


def test_what_is_missing_is_named(kitti):
    root = kitti[0]
    for path in root.rglob('*velodyne_raw*.png'):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r'velodyne_raw_0000000005_image_02\.png.*exist'):
        KITTICompletionDataset(str(root))
    with pytest.raises(FileNotFoundError, match='holds no PNG'):
        KITTICompletionDataset(str(root / 'input'))
    with pytest.raises(ValueError, match='split is one of val_selection, test'):
        KITTICompletionDataset(str(root), split='train')


def test_archives_are_unpacked_where_the_class_reads(tmp_path):
    preparer = build_preparer('kitti_completion', Options(tmp_path))
    archives = {archive.name: archive for archive in preparer.dataset.ARCHIVES}
    selection = archives['data_depth_selection.zip']
    folder = 'depth_selection/val_selection_cropped/velodyne_raw/'
    name = f'{folder}{DRIVE}_velodyne_raw_0000000005_image_02.png'
    assert preparer.target_path(selection, name) == name
    anonymous = 'depth_selection/test_depth_completion_anonymous/intrinsics/0000000000.txt'
    assert preparer.target_path(selection, anonymous) == anonymous
    prediction = 'depth_selection/test_depth_prediction_anonymous/image/0000000000.png'
    assert preparer.target_path(selection, prediction) is None
    frame = f'{DRIVE}/proj_depth/velodyne_raw/image_02/0000000005.png'
    points = archives['data_depth_velodyne.zip']
    assert preparer.target_path(points, f'train/{frame}') == f'velodyne_raw/{frame}'
    assert any('frames with points' in line for line in preparer.count_files())
