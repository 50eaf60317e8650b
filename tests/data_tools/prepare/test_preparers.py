import csv
import dataclasses
import hashlib
import re
import sys

import cv2
import numpy as np
import pytest

from depth.data_tools.facts import list_datasets
from depth.data_tools.prepare import Archive, Options, Preparer, build_preparer, preparable_datasets
from depth.data_tools.prepare import base as base_module
from depth.data_tools.prepare.nyu import SORTED_TEST_LIST
from depth.datasets import (
    CityscapesDataset,
    DDADDataset,
    DIMLOutdoorDataset,
    DIODEIndoorDataset,
    HypersimDataset,
    IBimsDataset,
    KITTIBenchmarkDataset,
    KITTIDataset,
    NYUDataset,
    NYULabeledDataset,
    SUNRGBDDataset,
    VirtualKITTI2Dataset,
)
from depth.datasets.base import BaseDepthDataset
from depth.datasets.published import SplitFile
from tests.data_tools.split_files import published_split_files
from tests.shared import REFERENCE, REPO, needs_reference
from tests.shared_process import run_python

from .test_download import make_tar, make_zip

PNG = cv2.imencode('.png', np.full((6, 8, 3), 90, np.uint8))[1].tobytes()
JPG = cv2.imencode('.jpg', np.full((6, 8, 3), 90, np.uint8))[1].tobytes()
DEPTH = cv2.imencode('.png', np.full((6, 8), 2560, np.uint16))[1].tobytes()


@pytest.fixture
def prepare(tmp_path):
    """Return a function that prepares a data set from the archives in tmp_path/archives."""

    def run(name, **options):
        said = []
        chosen = dict(root=tmp_path / 'root', archives=tmp_path / 'archives', yes=True) | options
        build_preparer(name, Options(**chosen), say=said.append).run()
        return said

    (tmp_path / 'archives').mkdir()
    return run


def publish(monkeypatch, folder, name, text):
    """Make a tiny list pass for the published one, and write it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    for dataset in list_datasets():
        if name in dataset.SPLIT_FILES:
            split = dataclasses.replace(
                dataset.SPLIT_FILES[name], lines=len(text.splitlines()), sha256=digest, url=None
            )
            monkeypatch.setitem(dataset.SPLIT_FILES, name, split)


class TinyDataset(BaseDepthDataset):
    """A data set that is prepared from the facts of its class alone."""

    ROOT, PARTS, DEFAULT_PARTS = 'data/tiny', {'a': 'one', 'b': 'two'}, ('a',)


@pytest.fixture
def tiny(server, tmp_path, monkeypatch):
    archives = [
        Archive(f'{letter}.zip', server.url(f'{letter}.zip'), part=letter) for letter in 'ab'
    ]
    monkeypatch.setattr(TinyDataset, 'ARCHIVES', archives)
    for letter in 'ab':
        server.files[f'/{letter}.zip'] = make_zip(
            tmp_path / 'z', {f'{letter}/x.png': PNG}
        ).read_bytes()
    server.files['/nyu_test.txt'] = b'a b\n'
    split = SplitFile(1, 1, hashlib.sha256(b'a b\n').hexdigest(), server.url('nyu_test.txt'))
    monkeypatch.setattr(TinyDataset, 'SPLIT_FILES', {'nyu_test.txt': split})

    def build(**options):
        return Preparer(TinyDataset, Options(tmp_path / 'root', **options), say=lambda line: None)

    return build


def test_everything_is_fetched_once_and_nothing_twice(tiny, server, tmp_path):
    tiny().run()
    assert (tmp_path / 'root/a/x.png').read_bytes() == PNG
    assert (tmp_path / 'root/nyu_test.txt').read_text() == 'a b\n'
    count = len(server.gets())
    tiny(delete_archives=True).run()
    assert len(server.gets()) == count
    tiny(parts=['a', 'b'], delete_archives=True).run()
    assert len(server.gets()) == count + 1
    assert [path.name for path in (tmp_path / 'root/archives').iterdir()] == ['a.zip']


def test_the_plan_needs_no_connection_and_changes_nothing(tiny, server, tmp_path):
    plan = ' '.join(tiny().plan())
    assert f'download {server.address}/a.zip' in plan
    assert not server.requests
    assert not (tmp_path / 'root').exists()
    tiny().run()
    assert 'done     a.zip was unpacked before' in tiny().plan()


def test_large_downloads_are_asked_about(tiny, server, monkeypatch, tmp_path):
    monkeypatch.setattr(base_module, 'LARGE', 10)
    asked = []
    preparer = tiny()
    preparer.ask = lambda question: asked.append(question) or False
    with pytest.raises(InterruptedError, match='nothing was downloaded'):
        preparer.run()
    assert 'will be downloaded' in asked[0]
    assert not [path for method, path, _ in server.requests if (method, path) == ('GET', '/a.zip')]
    tiny(yes=True).run()
    assert (tmp_path / 'root/a/x.png').is_file()


def test_a_split_of_another_content_is_refused(tiny, server, tmp_path):
    server.files['/nyu_test.txt'] = b'other\n'
    with pytest.raises(ValueError, match='SHA-256'):
        tiny().run()
    (tmp_path / 'lists').mkdir()
    (tmp_path / 'lists/nyu_test.txt').write_text('mine\n')
    with pytest.raises(ValueError, match='has SHA-256'):
        tiny(splits=tmp_path / 'lists').run()
    (tmp_path / 'lists/renamed.txt').write_text('a b\n')  # found by its hash
    tiny(splits=tmp_path / 'lists').run()
    assert (tmp_path / 'root/nyu_test.txt').read_text() == 'a b\n'


def test_a_list_of_ones_own_is_left_alone(tiny, tmp_path):
    (tmp_path / 'root').mkdir()
    (tmp_path / 'root/nyu_test.txt').write_text('mine\n')
    tiny().run()
    assert (tmp_path / 'root/nyu_test.txt').read_text() == 'mine\n'


def test_unknown_parts_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no 'c'; the parts are a \(one\), b \(two\)"):
        Preparer(TinyDataset, Options(tmp_path, parts=['c']))
    with pytest.raises(ValueError, match='as a whole'):
        build_preparer('ddad', Options(tmp_path, parts=['c']))
    with pytest.raises(ValueError, match='no scene such as ai_001_001'):
        build_preparer('hypersim', Options(tmp_path, parts=['c']))


def test_what_needs_an_account_is_told_at_once(prepare, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'leftImg8bit_trainvaltest\.zip, .* by hand .* log in'
    ):
        prepare('cityscapes')
    with pytest.raises(FileNotFoundError, match=r'diml_outdoor_test\.zip must be fetched by hand'):
        prepare('diml', root=tmp_path / 'other')


def write_labeled(folder, frames=3):
    """A tiny labelled file in MATLAB's layout: axes reversed, strings as references to character codes."""
    h5py, scipy_io = pytest.importorskip('h5py'), pytest.importorskip('scipy.io')
    rng = np.random.RandomState(0)
    images = rng.randint(0, 255, (frames, 3, 640, 480)).astype(np.uint8)
    raw = rng.uniform(0.7, 9, (frames, 640, 480)).astype(np.float32)
    with h5py.File(folder / 'nyu_depth_v2_labeled.mat', 'w') as file:
        file['images'], file['rawDepths'], file['depths'] = images, raw, raw + 1
        references = np.empty((1, frames), h5py.ref_dtype)
        for index, name in enumerate(('kitchen', 'office', 'living_room')):
            file[f'names/{index}'] = np.array([[ord(letter)] for letter in name], np.uint16)
            references[0, index] = file[f'names/{index}'].ref
        file.create_dataset('sceneTypes', data=references, dtype=h5py.ref_dtype)
        recordings = np.empty((1, frames), h5py.ref_dtype)
        for index, name in enumerate(('kitchen_0004', 'office_0012', 'living_room_0002')):
            file[f'recordings/{index}'] = np.array([[ord(letter)] for letter in name], np.uint16)
            recordings[0, index] = file[f'recordings/{index}'].ref
        file.create_dataset('scenes', data=recordings, dtype=h5py.ref_dtype)
    splits = dict(trainNdxs=np.array([[2]], np.uint16), testNdxs=np.array([[1], [3]], np.uint16))
    scipy_io.savemat(folder / 'splits.mat', splits)
    return images, raw


def test_nyu_test_images_and_their_list_are_rebuilt(prepare, tmp_path):
    images, raw = write_labeled(tmp_path / 'archives')
    said = prepare('nyu', parts=['test'])
    assert any('not the lines of the published list' in line for line in said)  # 2 frames, not 654
    assert any('2 of 2 pairs are there' in line for line in said)
    lines = (tmp_path / 'root/nyu_test.txt').read_text().splitlines()
    assert lines == [
        'kitchen/rgb_00000.jpg kitchen/sync_depth_00000.png 518.8579',
        'living_room/rgb_00002.jpg living_room/sync_depth_00002.png 518.8579',
    ]
    stored = cv2.imread(
        str(tmp_path / 'root/living_room/sync_depth_00002.png'), cv2.IMREAD_UNCHANGED
    )
    assert np.array_equal(stored, np.floor(raw[2].T * np.float32(1000)).astype(np.uint16))
    img = cv2.imread(str(tmp_path / 'root/kitchen/rgb_00000.jpg')).astype(int)
    # Black around what the colour camera saw, as published; JPEG rings a little.
    assert img[:6].max() <= 60
    inside = np.s_[100:300, 100:400]
    assert (
        np.abs(
            img[inside].mean((0, 1)) - images[0].transpose(2, 1, 0)[inside][..., ::-1].mean((0, 1))
        ).max()
        < 2
    )
    dataset = NYUDataset(data_root=str(tmp_path / 'root'), ann_file='nyu_test.txt')
    assert [dataset.get_data_info(index)['scene'] for index in range(2)] == [
        'kitchen',
        'living_room',
    ]


def test_the_list_of_the_raw_set_leaves_out_the_recordings_of_the_test_images(prepare, tmp_path):
    write_labeled(tmp_path / 'archives')
    root = tmp_path / 'root'
    with pytest.raises(FileNotFoundError, match='no synchronised frames'):
        prepare('nyu', parts=['raw'])
    # The last is a folder of test images.
    for name in (
        'kitchen_0004b',
        'office_0012a',
        'bedroom_0001',
        'kitchen',
    ):
        (root / name).mkdir()
        for frame in (7, 8):
            (root / name / f'rgb_{frame:05d}.jpg').write_bytes(JPG)
            (root / name / f'sync_depth_{frame:05d}.png').write_bytes(DEPTH)
    (root / 'bedroom_0001/sync_depth_00008.png').unlink()
    said = prepare('nyu', parts=['raw'])
    assert '3 lines, without the 2 recordings' in said[-1]
    assert (root / 'nyu_raw_train.txt').read_text().splitlines() == [
        f'/{scene}/rgb_{frame:05d}.jpg /{scene}/sync_depth_{frame:05d}.png 518.8579'
        for scene, frame in (('bedroom_0001', 7), ('office_0012a', 7), ('office_0012a', 8))
    ]
    assert len(NYUDataset(data_root=str(root), ann_file='nyu_raw_train.txt')) == 3


def test_nyu_labeled_is_linked_where_it_is_read(prepare, tmp_path):
    write_labeled(tmp_path / 'archives')
    assert prepare('nyu_labeled') == ['train: 1 frames', 'test: 2 frames']
    assert len(NYULabeledDataset(str(tmp_path / 'root'), split='test')) == 2


def test_nyu_training_images_come_out_of_their_archive(prepare, tmp_path, monkeypatch):
    line = '/kitchen_0028b/rgb_00045.jpg /kitchen_0028b/sync_depth_00045.png 518.8579\n'
    publish(monkeypatch, tmp_path / 'lists', 'nyu_train.txt', line)
    members = {
        'sync/kitchen_0028b/rgb_00045.jpg': JPG,
        'sync/kitchen_0028b/sync_depth_00045.png': DEPTH,
        'sync/x': b'',
    }
    make_zip(tmp_path / 'archives/sync.zip', members)
    said = prepare('nyu', parts=['train'], splits=tmp_path / 'lists')
    assert said[-1].endswith('1 of 1 pairs are there')
    assert len(NYUDataset(data_root=str(tmp_path / 'root'), ann_file='nyu_train.txt')) == 1


DRIVE = '2011_09_26_drive_0002_sync'
FRAME = f'2011_09_26/{DRIVE}/image_02/data/0000000005.png'
TRUTH = f'{DRIVE}/proj_depth/groundtruth/image_02/0000000005.png'


@pytest.fixture
def kitti(tmp_path, monkeypatch):
    """Archives of one validation and one training drive, and lists."""
    (tmp_path / 'archives').mkdir(exist_ok=True)
    other = '2011_09_26_drive_0001_sync'
    truth = {
        f'train/{other}/proj_depth/groundtruth/image_0{camera}/0000000005.png': DEPTH
        for camera in (3, 2)
    }
    truth |= {
        f'val/{TRUTH}': DEPTH,
        f'val/{DRIVE}/proj_depth/velodyne_raw/image_02/0000000005.png': DEPTH,
    }
    make_zip(tmp_path / 'archives/data_depth_annotated.zip', truth)
    for drive in (DRIVE, other):
        members = {f'2011_09_26/{drive}/image_0{n}/data/0000000005.png': PNG for n in (0, 2, 3)}
        members[f'2011_09_26/{drive}/velodyne_points/data/0000000005.bin'] = b'\0' * 16
        make_zip(tmp_path / f'archives/{drive}.zip', members)
    make_zip(
        tmp_path / 'archives/2011_09_26_calib.zip',
        {'2011_09_26/calib_cam_to_cam.txt': b'P_rect_02: 1'},
    )
    test = 'depth_selection/test_depth_prediction_anonymous'
    selection = {
        f'{test}/image/0000000000.png': PNG,
        f'{test}/intrinsics/0000000000.txt': b'1 0 1 0 1 1 0 0 1',
    }
    selection['depth_selection/test_depth_completion_anonymous/image/0000000000.png'] = b'other'
    make_zip(tmp_path / 'archives/data_depth_selection.zip', selection)
    lists = tmp_path / 'lists'
    for name in ('kitti_eigen_train.txt', 'kitti_eigen_test.txt'):
        publish(monkeypatch, lists, name, f'{FRAME} {TRUTH} 721.5377\n')
    publish(monkeypatch, lists, 'kitti_benchmark_val.txt', f'{FRAME} {TRUTH}\n')
    publish(monkeypatch, lists, 'kitti_benchmark_test.txt', '0000000000.png\n')
    for name in ('eigen_full_train.txt', 'eigen_full_val.txt', 'eigen_test.txt'):
        side = 'l' if name == 'eigen_test.txt' else 'r'
        publish(monkeypatch, lists, name, f'2011_09_26/{DRIVE} 5 {side}\n')
    return lists


def test_kitti_eigen(prepare, kitti, tmp_path):
    said = prepare('kitti_eigen', splits=kitti)
    assert said[-1].endswith('1 of 1 images and 1 of 1 depth maps are there')
    prefix = dict(img_path='input', depth_path='gt_depth')
    dataset = KITTIDataset(
        data_root=str(tmp_path / 'root'), ann_file='kitti_eigen_test.txt', data_prefix=prefix
    )
    assert len(dataset) == 1
    assert not (
        tmp_path / 'root/input/2011_09_26' / DRIVE / 'image_03'
    ).exists()  # the Eigen lists name no right image
    assert not (tmp_path / 'root/input/2011_09_26/2011_09_26_drive_0001_sync').exists()


def test_kitti_benchmark_after_eigen_adds_what_is_missing(prepare, kitti, tmp_path):
    prepare('kitti_eigen', splits=kitti)
    prepare('kitti_benchmark', splits=kitti)
    root = tmp_path / 'root'
    lines = (root / 'kitti_benchmark_train.txt').read_text().splitlines()
    other = '2011_09_26_drive_0001_sync'
    assert lines == [
        f'2011_09_26/{other}/image_0{camera}/data/0000000005.png '
        f'{other}/proj_depth/groundtruth/image_0{camera}/0000000005.png'
        for camera in (2, 3)
    ]
    prefix = dict(img_path='input', depth_path='gt_depth')
    for name, count in (('train', 2), ('val', 1)):
        dataset = KITTIBenchmarkDataset(
            str(root), ann_file=f'kitti_benchmark_{name}.txt', data_prefix=prefix
        )
        assert len(dataset) == count
    prefix = dict(img_path='benchmark_test', cam_path='benchmark_test_cam')
    test = KITTIBenchmarkDataset(str(root), ann_file='kitti_benchmark_test.txt', data_prefix=prefix)
    assert (root / 'benchmark_test/0000000000.png').read_bytes() == PNG
    assert len(test) == 1
    for drive in (DRIVE, other):
        assert (root / f'input/2011_09_26/{drive}/image_03/data/0000000005.png').is_file()


def test_a_copy_of_kitti_raw_is_linked(prepare, kitti, tmp_path):
    raw = tmp_path / 'raw'
    (raw / FRAME).parent.mkdir(parents=True)
    (raw / FRAME).write_bytes(PNG)
    (tmp_path / f'archives/{DRIVE}.zip').unlink()
    said = prepare('kitti_eigen', splits=kitti, raw=raw)
    assert said[-1].endswith('1 of 1 images and 1 of 1 depth maps are there')
    with pytest.raises(FileNotFoundError, match='no recording day'):
        prepare('kitti_eigen', splits=kitti, raw=tmp_path / 'lists')


@pytest.mark.parametrize('jpg', [False, True])
def test_kitti_raw(prepare, kitti, tmp_path, jpg):
    said = prepare('kitti_raw', splits=kitti, jpg=jpg)
    assert all('1 of 1 images are there' in line for line in said[-3:])
    drive = tmp_path / 'root/2011_09_26' / DRIVE
    suffix = 'jpg' if jpg else 'png'
    files = sorted(path.relative_to(drive).as_posix() for path in drive.rglob('*.*'))
    assert files == [
        f'image_02/data/0000000005.{suffix}',
        f'image_03/data/0000000005.{suffix}',
        'velodyne_points/data/0000000005.bin',
    ]
    assert np.abs(cv2.imread(str(drive / files[0])).astype(int) - 90).max() <= 2
    assert (drive.parent / 'calib_cam_to_cam.txt').is_file()


def test_sunrgbd(prepare, tmp_path, monkeypatch):
    scene = 'SUNRGBD/kv2/kinect2data/000002'
    publish(
        monkeypatch,
        tmp_path / 'lists',
        'SUNRGBD_val_splits.txt',
        f'{scene}/image/1.jpg {scene}/depth/1.png\n',
    )
    members = {
        f'{scene}/image/1.jpg': JPG,
        f'{scene}/depth/1.png': DEPTH,
        f'{scene}/depth_bfx/1.png': DEPTH,
    }
    members[f'{scene}/intrinsics.txt'] = b'1 0 4 0 1 3 0 0 1'
    make_zip(tmp_path / 'archives/SUNRGBD.zip', members)
    prepare('sunrgbd', splits=tmp_path / 'lists')
    assert (
        len(SUNRGBDDataset(data_root=str(tmp_path / 'root'), ann_file='SUNRGBD_val_splits.txt'))
        == 1
    )
    assert not (tmp_path / 'root' / scene / 'depth_bfx').exists()


def test_cityscapes(prepare, tmp_path):
    name = 'train/ulm/ulm_000000_000019'
    for kind, content in (('leftImg8bit', PNG), ('disparity', DEPTH), ('camera', b'{}')):
        suffix = 'json' if kind == 'camera' else 'png'
        members = {f'{kind}/{name}_{kind}.{suffix}': content, 'license.txt': b'', 'README': b''}
        make_zip(tmp_path / f'archives/{kind}_trainvaltest.zip', members)
    assert prepare('cityscapes')[-1] == f'{tmp_path / "root"}: 1 disparities'
    assert len(CityscapesDataset(str(tmp_path / 'root'), split='train')) == 1


def test_ibims(prepare, tmp_path):
    folders = {
        f'ibims1_core_raw/{name}/corridor_01.png': PNG
        for name in ('rgb', 'depth', 'mask_invalid', 'edges')
    }
    folders |= {
        'ibims1_core_raw/mask_transp/corridor_01.png': PNG,
        'ibims1_core_raw/calib/corridor_01.txt': b'1,2,3,4',
    }
    make_zip(tmp_path / 'archives/ibims1_core_raw.zip', folders)
    prepare('ibims')
    assert (tmp_path / 'root/imagelist.txt').read_text() == 'corridor_01\n'
    assert len(IBimsDataset(str(tmp_path / 'root'))) == 1


def test_diode(prepare, tmp_path):
    stem = 'val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010'
    members = {
        f'{stem}.png': PNG,
        f'{stem}_depth.npy': b'x',
        f'{stem}_depth_mask.npy': b'x',
        'val/.DS_Store': b'',
    }
    make_tar(tmp_path / 'archives/val.tar.gz', members)
    prepare('diode')
    assert len(DIODEIndoorDataset(str(tmp_path / 'root'), split='val')) == 1


def test_hypersim(prepare, tmp_path):
    columns = [
        'scene_name',
        'camera_name',
        'frame_id',
        'included_in_public_release',
        'exclude_reason',
    ]
    columns.append('split_partition_name')
    (tmp_path / 'root').mkdir()
    with (tmp_path / 'root/metadata_images_split_scene_v1.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerow(['ai_001_001', 'cam_00', 0, 'True', '', 'train'])
        writer.writerow(['ai_001_002', 'cam_00', 0, 'True', '', 'val'])
        writer.writerow(['ai_001_003', 'cam_00', 0, 'False', 'broken', ''])
    names = ('final_preview/frame.0000.tonemap.jpg', 'geometry_hdf5/frame.0000.depth_meters.hdf5')
    members = {f'ai_001_001/images/scene_cam_00_{name}': b'x' for name in names}
    members['ai_001_001/images/scene_cam_00_final_hdf5/frame.0000.color.hdf5'] = b'x'
    make_zip(tmp_path / 'archives/ai_001_001.zip', members)
    prepare('hypersim', parts=['train'])
    assert len(HypersimDataset(str(tmp_path / 'root'), split='train')) == 1
    assert not list((tmp_path / 'root').rglob('*.color.hdf5'))

    def names_of(*parts):
        preparer = build_preparer('hypersim', Options(tmp_path / 'root', parts=parts))
        return [archive.name for archive in preparer.archives()]

    assert names_of() == ['ai_001_001.zip', 'ai_001_002.zip']
    assert names_of('val') == ['ai_001_002.zip']
    assert names_of('ai_001_002') == ['ai_001_002.zip']


def test_vkitti2(prepare, tmp_path):
    frames = 'Scene01/clone/frames'
    make_tar(
        tmp_path / 'archives/vkitti_2.0.3_rgb.tar',
        {f'{frames}/rgb/Camera_0/rgb_00000.jpg': JPG},
        'w',
    )
    make_tar(
        tmp_path / 'archives/vkitti_2.0.3_depth.tar',
        {f'{frames}/depth/Camera_0/depth_00000.png': DEPTH},
        'w',
    )
    prepare('vkitti2')
    assert len(VirtualKITTI2Dataset(str(tmp_path / 'root'), scenes=['Scene01'])) == 1


def test_ddad(prepare, tmp_path):
    splits = b'{"scene_splits": {"1": {"filenames": ["000150/scene_ab.json"]}}}'
    scene = b'{"samples": [], "data": []}'
    files = {
        'ddad.json': splits,
        '000150/scene_ab.json': scene,
        '000150/calibration/cd.json': b'{}',
    }
    files |= {
        '000150/rgb/CAMERA_01/1.png': PNG,
        '000150/point_cloud/LIDAR/1.npz': b'x',
        'LICENSE.md': b'',
    }
    make_tar(
        tmp_path / 'archives/DDAD.tar',
        {f'ddad_train_val/{name}': content for name, content in files.items()},
        'w',
    )
    prepare('ddad')
    # It reads the files, and they name no image.
    with pytest.raises(ValueError, match='lists no image'):
        DDADDataset(str(tmp_path / 'root'), split='val')
    assert (tmp_path / 'root/000150/rgb/CAMERA_01/1.png').is_file()
    assert not (tmp_path / 'root/LICENSE.md').exists()


def test_diml(prepare, tmp_path):
    stem = 'DIML/outdoor/test/LR/A'
    members = {
        f'{stem}/outleft/1.png': PNG,
        f'{stem}/depthmap/1.png': DEPTH,
        f'{stem}/outright/1.png': PNG,
    }
    make_zip(tmp_path / 'archives/diml_outdoor_test.zip', members)
    prepare('diml')
    assert len(DIMLOutdoorDataset(str(tmp_path / 'root'))) == 1
    assert not list((tmp_path / 'root').rglob('outright'))


@needs_reference
def test_the_hash_of_the_sorted_nyu_test_list_is_that_of_the_published_one():
    lines = (REFERENCE / 'splits/nyu_test.txt').read_text().splitlines()
    assert hashlib.sha256('\n'.join(sorted(lines)).encode()).hexdigest() == SORTED_TEST_LIST


@needs_reference
def test_published_lists_are_found_by_their_hash_and_name_the_known_drives(tmp_path):
    """Under other names than ours, as the folder has the lists of the self-supervised methods."""
    options = Options(tmp_path, splits=REFERENCE / 'splits')
    raw = [archive.name for archive in build_preparer('kitti_raw', options).archives()]
    assert sum(name.endswith('_sync.zip') for name in raw) == 61
    assert sum(name.endswith('_calib.zip') for name in raw) == 5
    eigen = [archive.name for archive in build_preparer('kitti_eigen', options).archives()]
    assert sum(name.endswith('_sync.zip') for name in eigen) == 61
    assert {name for name in raw if 'sync' in name} == {name for name in eigen if 'sync' in name}


def test_every_published_list_has_an_address_that_is_pinned_to_a_commit():
    for name, split in published_split_files().items():
        assert re.search(
            r'raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{7,40}/.+\.txt$', split.url
        ), name
    plan = build_preparer('kitti_raw', Options(REPO / 'nowhere')).plan()
    assert sum('monodepth2' in line for line in plan) == 3
    assert 'the drives that the lists will name' in plan[-1]


@pytest.mark.slow
def test_the_tool_knows_every_data_set_and_shows_a_plan(tmp_path):
    for name, dataset in preparable_datasets().items():
        assert dataset.CONFIGS, name
        for config in dataset.CONFIGS:
            assert (REPO / 'configs/_base_/datasets' / config).is_file(), name
        assert dataset.ROOT.startswith('data/'), name
        assert dataset.PAGE.startswith('https://'), name
        assert dataset.LICENCE, name
    command = [
        sys.executable,
        str(REPO / 'tools/dataset_converters/prepare.py'),
        'diode',
        '--dry-run',
    ]
    process = run_python([*command, '--root', str(tmp_path / 'x')], cwd=REPO)
    assert process.returncode == 0, process.stderr
    assert 'diode-dataset.s3.amazonaws.com/val.tar.gz' in process.stdout
    assert not (tmp_path / 'x').exists()
