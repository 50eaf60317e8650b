import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth.datasets import FolderDepthDataset, KITTIDataset, NYUDataset
from depth.datasets.transforms.loading import read_depth, read_image
from tests.shared import SAMPLES, needs_samples

LOAD = [dict(type='LoadImage'), dict(type='LoadDepth')]


@pytest.fixture
def nyu(tmp_path):
    """Two fake NYU frames with their split file."""
    (tmp_path / 'kitchen').mkdir()
    lines = []
    for index in (1, 2):
        cv2.imwrite(str(tmp_path / f'kitchen/rgb_{index}.jpg'), np.full((48, 64, 3), 90, np.uint8))
        cv2.imwrite(
            str(tmp_path / f'kitchen/sync_depth_{index}.png'),
            np.full((48, 64), 2500 * index, np.uint16),
        )
        lines.append(f'/kitchen/rgb_{index}.jpg /kitchen/sync_depth_{index}.png 518.8579')
    (tmp_path / 'nyu_train.txt').write_text('\n'.join(lines) + '\n')
    return tmp_path


def make_nyu(root, **kwargs):
    return NYUDataset(**dict(data_root=str(root), ann_file='nyu_train.txt', pipeline=LOAD) | kwargs)


def test_nyu_reads_metres_and_its_camera(nyu):
    dataset = make_nyu(nyu)
    assert len(dataset) == 2
    sample = dataset[1]
    assert sample['gt_depth'] == pytest.approx(5.0)
    assert sample['img'].dtype == np.uint8
    assert sample['cam_intrinsic'][0, 0] == pytest.approx(518.8579)
    assert (sample['dataset'], sample['max_depth']) == ('nyu', 10.0)


def test_kitti_leaves_out_lines_without_ground_truth_and_knows_the_day(tmp_path):
    day, drive = '2011_09_28', '2011_09_28_drive_0001_sync'
    image = tmp_path / 'input' / day / drive / 'image_02/data/0000000005.png'
    depth = tmp_path / 'gt_depth' / drive / 'proj_depth/groundtruth/image_02/0000000005.png'
    for path, array in (
        (image, np.zeros((37, 124, 3), np.uint8)),
        (depth, np.full((37, 124), 256 * 12, np.uint16)),
    ):
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), array)
    name = f'{day}/{drive}/image_02/data/0000000005.png'
    gt = f'{drive}/proj_depth/groundtruth/image_02/0000000005.png'
    (tmp_path / 'split.txt').write_text(f'{name} {gt} 707.0493\n{name} None 707.0493\n')
    prefix = dict(img_path='input', depth_path='gt_depth')
    dataset = KITTIDataset(
        data_root=str(tmp_path), ann_file='split.txt', data_prefix=prefix, pipeline=LOAD
    )
    assert len(dataset) == 1
    assert dataset[0]['gt_depth'] == pytest.approx(12.0)
    assert dataset[0]['cam_intrinsic'][0, 0] == pytest.approx(707.0493)


def test_a_missing_root_names_the_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'data_root .*nowhere does not exist'):
        make_nyu(tmp_path / 'nowhere')


def test_a_missing_split_file_is_named(nyu):
    with pytest.raises(FileNotFoundError, match=r'split file .*nyu_val\.txt'):
        make_nyu(nyu, ann_file='nyu_val.txt')


def test_a_malformed_line_is_shown_with_its_number(nyu):
    with (nyu / 'nyu_train.txt').open('a') as file:
        file.write('kitchen/rgb_3.jpg\n')
    with pytest.raises(ValueError, match=r'nyu_train\.txt, line 3 .*kitchen/rgb_3\.jpg'):
        make_nyu(nyu)


def test_a_first_image_that_is_missing_stops_the_start(nyu):
    (nyu / 'kitchen/rgb_1.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'rgb_1\.jpg .*line 1'):
        make_nyu(nyu)


def test_a_later_missing_image_is_named_with_its_line(nyu):
    (nyu / 'kitchen/rgb_2.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'rgb_2\.jpg .*line 2'):
        make_nyu(nyu)[1]


def test_a_damaged_image_is_named(nyu):
    (nyu / 'kitchen/rgb_2.jpg').write_bytes(b'not an image')
    with pytest.raises(ValueError, match=r'rgb_2\.jpg cannot be decoded'):
        make_nyu(nyu)[1]


def test_sizes_that_differ_are_named(nyu):
    cv2.imwrite(str(nyu / 'kitchen/sync_depth_2.png'), np.full((24, 64), 2500, np.uint16))
    with pytest.raises(ValueError, match=r'64x24.*64x48'):
        make_nyu(nyu)[1]


@pytest.mark.parametrize('scale', [1.0, 1e6])
def test_a_wrong_scale_is_seen(nyu, scale):
    with pytest.raises(ValueError, match='depth_scale='):
        make_nyu(nyu, depth_scale=scale)[0]


def test_eight_bit_depth_is_refused(nyu):
    cv2.imwrite(str(nyu / 'kitchen/sync_depth_2.png'), np.full((48, 64), 25, np.uint8))
    with pytest.raises(ValueError, match='8 bits'):
        make_nyu(nyu)[1]


def test_a_split_without_ground_truth_is_refused(nyu):
    (nyu / 'nyu_train.txt').write_text('kitchen/rgb_1.jpg None 518.8579\n')
    with pytest.raises(ValueError, match='no image with ground truth'):
        make_nyu(nyu)


@pytest.fixture
def folder(tmp_path):
    """Images of several types with depth of several types."""
    for sub in ('images', 'depth'):
        (tmp_path / sub / 'a').mkdir(parents=True)
    img, depth = np.full((20, 30, 3), 50, np.uint8), np.full((20, 30), 3.0, np.float32)
    for name in ('1.png', '2.jpg', '3.bmp', 'a/4.tif'):
        cv2.imwrite(str(tmp_path / 'images' / name), img)
    cv2.imwrite(str(tmp_path / 'depth/1.png'), (depth * 1000).astype(np.uint16))
    np.save(tmp_path / 'depth/2.npy', depth)
    np.savez(tmp_path / 'depth/3.npz', depth=depth)
    cv2.imwrite(str(tmp_path / 'depth/a/4.tiff'), depth)
    return tmp_path


def test_folder_reads_every_type(folder):
    dataset = FolderDepthDataset(data_root=str(folder), pipeline=LOAD)
    assert len(dataset) == 4
    for sample in dataset:
        assert sample['gt_depth'] == pytest.approx(3.0)
        assert sample['img'].shape == (20, 30, 3)
        assert sample.get('cam_intrinsic') is None


@pytest.mark.parametrize('for_all', [True, False])
def test_folder_reads_intrinsics(folder, for_all):
    entry = dict(fx=20.0, fy=21.0, cx=14.5, cy=9.5)
    content = entry if for_all else {'2': entry}
    (folder / 'intrinsics.json').write_text(json.dumps(content))
    samples = {
        Path(sample['img_path']).stem: sample
        for sample in FolderDepthDataset(str(folder), pipeline=LOAD)
    }
    assert samples['2']['cam_intrinsic'][1, 1] == 21.0
    assert ('cam_intrinsic' in samples['1']) == for_all


def test_folder_errors(folder):
    (folder / 'intrinsics.json').write_text('{"fx": 1}')
    with pytest.raises(ValueError, match=r'intrinsics\.json should hold'):
        FolderDepthDataset(str(folder))
    (folder / 'intrinsics.json').unlink()
    (folder / 'depth/1.png').unlink()
    with pytest.raises(ValueError, match=r'1 of 4 images .*1\.png'):
        FolderDepthDataset(str(folder))
    with pytest.raises(FileNotFoundError, match='labels does not exist'):
        FolderDepthDataset(str(folder), data_prefix=dict(depth_path='labels'))


def test_values_that_are_no_depth_become_no_ground_truth(tmp_path):
    np.save(tmp_path / 'd.npy', np.array([[1.5, np.nan], [np.inf, -2.0]], np.float32))
    assert read_depth(tmp_path / 'd.npy', 1000).tolist() == [[1.5, 0], [0, 0]]


@pytest.mark.parametrize('name', ['d.exr', 'd.npy', 'd.png'])
def test_unreadable_depth_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b'nonsense')
    with pytest.raises(ValueError, match=name):
        read_depth(tmp_path / name, 1000)


@pytest.mark.parametrize('name', ['d.npy', 'd.npz', 'd.png', 'd.tiff'])
@pytest.mark.parametrize('share', [0.0, 0.4])
def test_empty_and_cut_off_depth_is_named(tmp_path, name, share):
    depth = np.random.default_rng(0).uniform(1, 9, (40, 50)).astype(np.float32)
    path = tmp_path / name
    if name == 'd.npy':
        np.save(path, depth)
    elif name == 'd.npz':
        np.savez(path, depth=depth)
    else:
        cv2.imwrite(str(path), depth if name == 'd.tiff' else (depth * 1000).astype(np.uint16))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=name):
        read_depth(path, 1000)


def test_an_empty_image_is_named(nyu):
    (nyu / 'kitchen/rgb_2.jpg').write_bytes(b'')
    with pytest.raises(ValueError, match=r'rgb_2\.jpg cannot be decoded.*line 2'):
        make_nyu(nyu)[1]


@pytest.mark.parametrize('dtype', [bool, np.complex64, 'U3'])
def test_arrays_that_are_no_depth_are_refused(tmp_path, dtype):
    np.save(tmp_path / 'd.npy', np.ones((4, 5)).astype(dtype))
    with pytest.raises(
        ValueError, match=r'd\.npy holds .* values, which are no depth; save metres as float32'
    ):
        read_depth(tmp_path / 'd.npy', 1000)


def test_an_unknown_reader_is_named(nyu):
    dataset = make_nyu(nyu)
    dataset.DEPTH_READER = 'nothing'
    dataset._fully_initialized = False
    dataset.full_init()
    with pytest.raises(
        ValueError, match=r"no file reader is called 'nothing'; there are cityscapes"
    ):
        dataset[0]


def test_grey_alpha_and_deep_images_become_bgr_bytes(tmp_path):
    grey = np.full((4, 5), 77, np.uint8)
    for name, array in (
        ('grey', grey),
        ('alpha', np.dstack([grey] * 4)),
        ('deep', grey.astype(np.uint16) * 257),
    ):
        cv2.imwrite(str(tmp_path / f'{name}.png'), array)
        img = read_image(tmp_path / f'{name}.png')
        assert img.shape == (4, 5, 3)
        assert np.unique(img).tolist() == [77], name


@needs_samples
def test_real_kitti_frames(tmp_path):
    (tmp_path / 'split.txt').write_text((SAMPLES / 'kitti/split.txt').read_text())
    dataset = KITTIDataset(
        str(SAMPLES / 'kitti'), ann_file=str(tmp_path / 'split.txt'), pipeline=LOAD
    )
    medians = []
    for sample in dataset:
        valid = sample['gt_depth'][sample['gt_depth'] > 0]
        medians.append(float(np.median(valid)))
        assert sample['img'].shape == (375, 1242, 3)
    # As the samples' README lists them.
    assert medians == pytest.approx([13.844, 13.438, 13.242], abs=2e-3)


@needs_samples
def test_real_nyu_frames(tmp_path):
    root = SAMPLES / 'indoor_rgbd'
    stems = ('nyu_00000', 'nyu_00050', 'nyu_00100')
    (tmp_path / 'split.txt').write_text(
        ''.join(f'/rgb/{stem}.jpg /depth/{stem}.png 518.8579\n' for stem in stems)
    )
    pipeline = [*LOAD, dict(type='NYUCrop')]
    dataset = NYUDataset(str(root), ann_file=str(tmp_path / 'split.txt'), pipeline=pipeline)
    for sample, far in zip(dataset, (6.625, 8.266, 6.446), strict=True):
        assert sample['gt_depth'].shape == (427, 565)
        assert sample['gt_depth'].max() <= far + 1e-3
        assert sample['cam_intrinsic'][0, 2] == pytest.approx(325.5824 - 43)
