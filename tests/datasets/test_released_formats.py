"""Every data set on a small copy of its published layout; expected depth comes from elsewhere than the reader."""

import csv
import json
import sys

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from depth.data_tools.doctor.probe import probe_sample
from depth.datasets import (
    CityscapesDataset,
    DDADDataset,
    DIMLOutdoorDataset,
    DIODEIndoorDataset,
    DIODEOutdoorDataset,
    HypersimDataset,
    IBimsDataset,
    KITTIDataset,
    NYUDataset,
    NYULabeledDataset,
    SUNRGBDDataset,
    VirtualKITTI2Dataset,
)
from depth.datasets.cameras import distance_to_depth
from depth.datasets.scenes import render_scene
from depth.engine.hooks.prediction_writer_hook import unique_name
from tests.shared import SAMPLES, needs_samples

LOAD = [dict(type='LoadImage'), dict(type='LoadDepth')]
SIZE = (24, 32)


@pytest.fixture(scope='module')
def street():
    return render_scene('streets', 0, 0, 'test', SIZE)


@pytest.fixture(scope='module')
def room():
    return render_scene('rooms', 0, 0, 'test', SIZE)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.npy':
        np.save(path, array)
    else:
        assert cv2.imwrite(str(path), array)


def check(sample, scene, name, tolerance):
    assert sample['dataset'] == name
    assert sample['gt_depth'].dtype == np.float32
    assert np.abs(sample['gt_depth'] - scene['gt_depth']).max() <= tolerance
    assert np.array_equal(sample['gt_depth'] == 0, scene['gt_depth'] == 0)
    assert sample['img'].shape == (*SIZE, 3)


def test_sunrgbd_rotates_the_bits_back(tmp_path, room):
    scene = tmp_path / 'SUNRGBD/kv1/a/b'
    millimetres = np.rint(room['gt_depth'] * 1000).astype(int)
    stored = ((millimetres << 3) | (millimetres >> 13)) & 0xFFFF
    save(scene / 'image/1.jpg', room['img'])
    save(scene / 'depth/1.png', stored.astype(np.uint16))
    (scene / 'intrinsics.txt').write_text('529.5 0 365 0 529.5 265 0 0 1')
    (tmp_path / 'list.txt').write_text('SUNRGBD/kv1/a/b/image/1.jpg SUNRGBD/kv1/a/b/depth/1.png\n')
    sample = SUNRGBDDataset(data_root=str(tmp_path), ann_file='list.txt', pipeline=LOAD)[0]
    check(sample, room, 'sunrgbd', 5.01e-4)
    assert sample['cam_intrinsic'].tolist() == [[529.5, 0, 365], [0, 529.5, 265], [0, 0, 1]]
    (scene / 'intrinsics.txt').write_text('529.5 0')
    with pytest.raises(ValueError, match=r'intrinsics\.txt holds 2 numbers'):
        SUNRGBDDataset(data_root=str(tmp_path), ann_file='list.txt', pipeline=LOAD)[0]


@needs_samples
def test_a_real_sunrgbd_frame(tmp_path):
    (tmp_path / 'list.txt').write_text('rgb/sun_00000.jpg depth/sun_00000.png\n')
    dataset = SUNRGBDDataset(
        data_root=str(SAMPLES / 'indoor_rgbd'), ann_file=str(tmp_path / 'list.txt'), pipeline=LOAD
    )
    depth = dataset[0]['gt_depth']
    valid = depth[depth > 0]
    # As the samples' README lists them.
    assert [valid.min(), np.median(valid), valid.max()] == pytest.approx(
        [1.057, 2.723, 9.870], abs=1e-3
    )
    assert (depth > 0).mean() == pytest.approx(0.8177, abs=1e-4)


def cityscapes(root, stored, name='ulm_000000_000019', split='val'):
    save(
        root / f'leftImg8bit/{split}/ulm/{name}_leftImg8bit.png',
        np.zeros((*stored.shape, 3), np.uint8),
    )
    save(root / f'disparity/{split}/ulm/{name}_disparity.png', stored)
    camera = dict(
        extrinsic=dict(baseline=0.209313, pitch=0.038),
        intrinsic=dict(fx=2262.52, fy=2265.3, u0=1096.98, v0=513.137),
    )
    path = root / f'camera/{split}/ulm/{name}_camera.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(camera))
    return path


def test_cityscapes_turns_disparity_into_depth(tmp_path):
    # Not measured; a disparity of 0; 1/256, 10 and 126 pixels.
    cityscapes(tmp_path, np.array([[0, 1, 2, 2561, 126 * 256 + 1]], np.uint16))
    camera = cityscapes(tmp_path, np.ones((1, 5), np.uint16), 'troisdorf_000000_000073')
    dataset = CityscapesDataset(data_root=str(tmp_path), split='val', pipeline=LOAD)
    assert len(dataset) == 1  # the damaged one is left out
    product = 0.209313 * 2262.52
    assert dataset[0]['gt_depth'][0] == pytest.approx(
        [0, 0, product * 256, product / 10, product / 126], rel=1e-6
    )
    assert dataset[0]['cam_intrinsic'][:2, 2].tolist() == [1096.98, 513.137]
    for path in camera.parent.glob('*.json'):
        path.write_text('{"extrinsic": {}}')
    with pytest.raises(ValueError, match=r'_camera\.json should hold'):
        dataset[0]
    with pytest.raises(ValueError, match='split is one of'):
        CityscapesDataset(data_root=str(tmp_path), split='demo')
    with pytest.raises(FileNotFoundError, match='leftImg8bit/train does not exist'):
        CityscapesDataset(data_root=str(tmp_path), split='train')


@pytest.mark.parametrize('archive', ['raw', 'mat'])
def test_ibims_masks_glass_and_what_is_unreliable(tmp_path, room, archive):
    (tmp_path / 'imagelist.txt').write_text('corridor_01\n')
    transparent, invalid = np.full(SIZE, 255, np.uint8), np.full(SIZE, 255, np.uint8)
    transparent[:3], invalid[:, :4] = 0, 0
    expected = room['gt_depth'] * (transparent > 0) * (invalid > 0)
    if archive == 'raw':
        save(tmp_path / 'rgb/corridor_01.png', room['img'])
        save(
            tmp_path / 'depth/corridor_01.png',
            np.rint(room['gt_depth'] / 50 * 65535).astype(np.uint16),
        )
        save(tmp_path / 'mask_transp/corridor_01.png', transparent)
        save(tmp_path / 'mask_invalid/corridor_01.png', invalid)
        (tmp_path / 'calib').mkdir()
        (tmp_path / 'calib/corridor_01.txt').write_text('550.0, 551.0, 320.5, 240.5\n')
    else:
        data = dict(
            rgb=room['img'][..., ::-1],
            depth=room['gt_depth'].astype(np.float64),
            mask_invalid=invalid // 255,
            mask_transp=transparent // 255,
            calib=np.array([[550.0, 0, 320.5], [0, 551.0, 240.5], [0, 0, 1]]),
        )
        scipy.io.savemat(tmp_path / 'corridor_01.mat', dict(data=data))
    sample = IBimsDataset(data_root=str(tmp_path), pipeline=LOAD)[0]
    check(sample, dict(gt_depth=expected), 'ibims', 4e-4)
    assert np.array_equal(sample['img'], room['img'])
    assert sample['cam_intrinsic'].tolist() == [[550.0, 0, 320.5], [0, 551.0, 240.5], [0, 0, 1]]


def test_a_foreign_mat_file_is_named(tmp_path):
    (tmp_path / 'imagelist.txt').write_text('a\n')
    scipy.io.savemat(tmp_path / 'a.mat', dict(depth=np.ones(SIZE)))
    with pytest.raises(ValueError, match=r'a\.mat is no file of the iBims-1'):
        IBimsDataset(data_root=str(tmp_path), pipeline=LOAD)[0]


@pytest.mark.parametrize(
    ('cls', 'folder', 'name', 'far'),
    [
        (DIODEIndoorDataset, 'indoors', 'diode_indoor', 10.0),
        (DIODEOutdoorDataset, 'outdoor', 'diode_outdoor', 80.0),
    ],
)
def test_diode_applies_its_mask(tmp_path, room, cls, folder, name, far):
    scan = tmp_path / 'val' / folder / 'scene_00019/scan_00183'
    mask = np.ones(SIZE, np.float32)
    mask[5:9] = 0
    save(scan / '00019_00183_000_010.png', room['img'])
    save(scan / '00019_00183_000_010_depth.npy', room['gt_depth'][..., None])
    save(scan / '00019_00183_000_010_depth_mask.npy', mask)
    dataset = cls(data_root=str(tmp_path), pipeline=LOAD)
    assert len(dataset) == 1
    sample = dataset[0]
    check(sample, dict(gt_depth=room['gt_depth'] * mask), name, 0)
    assert sample['max_depth'] == far
    assert sample['cam_intrinsic'][0, 0] == 886.81
    (tmp_path / 'list.txt').write_text(
        f'val/{folder}/scene_00019/scan_00183/00019_00183_000_010.png\n'
    )
    listed = cls(data_root=str(tmp_path), ann_file='list.txt', pipeline=LOAD)
    assert np.array_equal(listed[0]['gt_depth'], sample['gt_depth'])
    (scan / '00019_00183_000_010_depth_mask.npy').unlink()
    with pytest.raises(FileNotFoundError, match=r'_depth_mask\.npy does not exist'):
        dataset[0]


def hypersim(root, rows):
    with (root / 'metadata_images_split_scene_v1.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(
            'scene_name camera_name frame_id included_in_public_release exclude_reason split_partition_name'.split()
        )
        writer.writerows(rows)


def test_hypersim_lists_the_split_and_turns_distance_into_depth(tmp_path, room):
    hypersim(
        tmp_path,
        [
            ['ai_001_001', 'cam_00', 3, 'True', '', 'test'],
            ['ai_001_001', 'cam_00', 4, 'False', 'bad', 'test'],
            ['ai_001_001', 'cam_00', 5, 'True', '', 'train'],
        ],
    )
    images = tmp_path / 'ai_001_001/images'
    save(images / 'scene_cam_00_final_preview/frame.0003.tonemap.jpg', room['img'])
    distance = np.empty(SIZE)
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            ray = np.linalg.norm([column - 511.5, row - 383.5, 886.81])
            distance[row, column] = room['gt_depth'][row, column] * ray / 886.81
    distance[0, 0] = np.nan
    path = images / 'scene_cam_00_geometry_hdf5/frame.0003.depth_meters.hdf5'
    path.parent.mkdir(parents=True)
    with h5py.File(path, 'w') as file:
        file['dataset'] = distance.astype(np.float16)
    dataset = HypersimDataset(data_root=str(tmp_path), split='test', pipeline=LOAD)
    assert len(dataset) == 1
    expected = room['gt_depth'].copy()
    expected[0, 0] = 0
    check(dataset[0], dict(gt_depth=expected), 'hypersim', 5e-3)  # float16 has 11 bits
    path.write_bytes(b'cut off')
    with pytest.raises(ValueError, match=r'frame\.0003\.depth_meters\.hdf5 cannot be read'):
        dataset[0]


@needs_samples
def test_a_real_hypersim_distance(tmp_path):
    name = 'ai_037_002/images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5'
    hypersim(tmp_path, [['ai_037_002', 'cam_00', 0, 'True', '', 'train']])
    save(
        tmp_path / 'ai_037_002/images/scene_cam_00_final_preview/frame.0000.tonemap.jpg',
        np.zeros((768, 1024, 3)),
    )
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).symlink_to(SAMPLES / 'hypersim' / name)
    depth = HypersimDataset(data_root=str(tmp_path), split='train', pipeline=LOAD)[0]['gt_depth']
    with h5py.File(SAMPLES / 'hypersim' / name) as file:
        distance = file['dataset'][()].astype(np.float64)
    # As the samples' README says.
    assert [distance.min(), distance.max()] == pytest.approx([2.961, 13.234], abs=1e-3)
    for row, column in ((0, 0), (383, 511), (500, 900)):
        ray = np.sqrt((column - 511.5) ** 2 + (row - 383.5) ** 2 + 886.81**2)
        assert depth[row, column] == pytest.approx(distance[row, column] * 886.81 / ray, rel=1e-6)


def test_distance_of_a_wall_is_depth_everywhere_alike():
    intrinsic = np.array([[50.0, 0, 15], [0, 60.0, 11], [0, 0, 1]])
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = 4 * np.linalg.norm(np.stack([(u - 15) / 50, (v - 11) / 60, np.ones(SIZE)]), axis=0)
    assert distance_to_depth(distance.astype(np.float32), intrinsic) == pytest.approx(4, rel=1e-6)


def test_vkitti2_reads_centimetres_and_no_sky(tmp_path, street):
    stored = np.rint(street['gt_depth'] * 100).astype(np.uint16)
    stored[stored == 0] = 65535
    for variation in ('clone', 'fog'):
        for camera in (0, 1):
            for frame in range(3):
                frames = tmp_path / 'Scene20' / variation / 'frames'
                save(frames / f'rgb/Camera_{camera}/rgb_{frame:05d}.jpg', street['img'])
                save(frames / f'depth/Camera_{camera}/depth_{frame:05d}.png', stored)
    options = dict(data_root=str(tmp_path), scenes=['Scene20'], pipeline=LOAD)
    dataset = VirtualKITTI2Dataset(**options)
    assert len(dataset) == 12
    check(dataset[0], street, 'vkitti2', 5.01e-3)
    assert dataset[0]['scene'] == 'outdoor_scene'
    names = {unique_name(dataset.get_data_info(index)['img_path']) for index in range(12)}
    assert len(names) == 12  # predictions do not overwrite each other
    assert len(VirtualKITTI2Dataset(**options, variations=['fog'], cameras=[0], step=2)) == 2
    (tmp_path / 'test.txt').write_text('Scene20/fog/frames/rgb/Camera_1/rgb_00002.jpg\n')
    listed = VirtualKITTI2Dataset(**options, ann_file='test.txt')
    check(listed[0], street, 'vkitti2', 5.01e-3)
    assert listed[0]['depth_path'].endswith('Scene20/fog/frames/depth/Camera_1/depth_00002.png')
    with pytest.raises(FileNotFoundError, match='Scene01 does not exist'):
        VirtualKITTI2Dataset(data_root=str(tmp_path))


def rotation(axis, angle):
    """Return a unit quaternion and the rotation matrix of the same turn, the latter from OpenCV."""
    axis = np.asarray(axis) / np.linalg.norm(axis)
    quaternion = dict(
        zip(('qw', 'qx', 'qy', 'qz'), [np.cos(angle / 2), *(np.sin(angle / 2) * axis)], strict=True)
    )
    return quaternion, cv2.Rodrigues(axis * angle)[0]


def ddad(root, scene, extra=()):
    """Write one scene whose laser sees exactly the pixels of a rendered street, each sensor with a pose of its own."""
    intrinsic = scene['cam_intrinsic']
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    depth = scene['gt_depth']
    rays = np.stack(
        [
            (u - intrinsic[0, 2]) / intrinsic[0, 0],
            (v - intrinsic[1, 2]) / intrinsic[1, 1],
            np.ones(SIZE),
        ],
        -1,
    )
    points = np.concatenate([(rays * depth[..., None])[depth > 0], *extra])
    camera_q, camera_r = rotation([1, 2, -1], 0.8)
    lidar_q, lidar_r = rotation([0, -1, 3], -2.1)
    camera_t, lidar_t = np.array([100.0, -20.0, 3.0]), np.array([101.0, -21.0, 4.5])
    world = points @ camera_r.T + camera_t
    in_lidar = (world - lidar_t) @ lidar_r

    def pose(quaternion, translation):
        return dict(rotation=quaternion, translation=dict(zip('xyz', translation, strict=True)))

    folder = root / '000150'
    save(folder / 'rgb/CAMERA_01/1.png', scene['img'])
    (folder / 'point_cloud/LIDAR').mkdir(parents=True)
    np.savez(folder / 'point_cloud/LIDAR/2.npz', data=np.c_[in_lidar, np.zeros(len(in_lidar))])
    (folder / 'calibration').mkdir()
    camera = dict(
        fx=intrinsic[0, 0], fy=intrinsic[1, 1], cx=intrinsic[0, 2], cy=intrinsic[1, 2], skew=0.0
    )
    lens = dict(names=['LIDAR', 'CAMERA_01'], intrinsics=[dict(fx=0, fy=0, cx=0, cy=0), camera])
    (folder / 'calibration/c.json').write_text(json.dumps(lens))
    image = dict(
        filename='rgb/CAMERA_01/1.png', height=SIZE[0], width=SIZE[1], pose=pose(camera_q, camera_t)
    )
    cloud = dict(filename='point_cloud/LIDAR/2.npz', pose=pose(lidar_q, lidar_t))
    content = dict(
        samples=[dict(calibration_key='c', datum_keys=['k1', 'k2'])],
        data=[
            dict(key='k1', id=dict(name='LIDAR'), datum=dict(point_cloud=cloud)),
            dict(key='k2', id=dict(name='CAMERA_01'), datum=dict(image=image)),
        ],
    )
    (folder / 'scene_x.json').write_text(json.dumps(content))
    splits = {'0': dict(filenames=[]), '1': dict(filenames=['000150/scene_x.json'])}
    (root / 'ddad.json').write_text(json.dumps(dict(scene_splits=splits)))


def test_ddad_brings_the_scan_into_the_image(tmp_path, street):
    intrinsic = street['cam_intrinsic']
    behind = np.array([[0.0, 0.0, -5.0]])
    # Far behind what pixel (16, 20) shows.
    hidden = 90 * np.linalg.inv(intrinsic) @ [16.2, 20.3, 1.0]
    assert street['gt_depth'][20, 16] > 0
    ddad(tmp_path, street, extra=[behind, hidden[None]])
    dataset = DDADDataset(data_root=str(tmp_path), split='val', pipeline=LOAD)
    assert len(dataset) == 1
    check(dataset[0], street, 'ddad', 1e-4)
    assert dataset[0]['cam_intrinsic'] == pytest.approx(intrinsic)
    with pytest.raises(ValueError, match='lists no image'):
        DDADDataset(data_root=str(tmp_path), split='train')
    (tmp_path / '000150/scene_x.json').write_text('{"samples": [')
    with pytest.raises(ValueError, match=r'scene_x\.json is no JSON file'):
        DDADDataset(data_root=str(tmp_path))


@needs_samples
def test_a_real_ddad_frame_with_its_calibration(tmp_path):
    """The released image and calibration; the scan is what the sample's map of it holds, seen from the camera."""
    root, stem = SAMPLES / 'ddad', '15616458249936530'
    calibration = next((root / 'calib').glob('*.json'))
    stored = cv2.imread(str(root / f'gt_depth/{stem}.png'), cv2.IMREAD_UNCHANGED) / np.float32(256)
    lens = json.loads((root / 'intrinsics.json').read_text())[stem]['intrinsics']
    v, u = np.nonzero(stored)
    ray = np.c_[(u - lens['cx']) / lens['fx'], (v - lens['cy']) / lens['fy'], np.ones(len(u))]
    ddad(tmp_path, render_scene('streets', 0, 0, 'test', SIZE))
    folder = tmp_path / '000150'
    (folder / 'calibration/c.json').write_bytes(calibration.read_bytes())
    (folder / 'rgb/CAMERA_01/1.png').unlink()
    (folder / 'rgb/CAMERA_01/1.png').symlink_to(root / f'image/{stem}.jpg')
    np.savez(
        folder / 'point_cloud/LIDAR/2.npz', data=np.c_[ray * stored[v, u, None], np.zeros(len(u))]
    )
    scene = json.loads((folder / 'scene_x.json').read_text())
    cloud, image = scene['data'][0]['datum']['point_cloud'], scene['data'][1]['datum']['image']
    cloud['pose'] = image['pose']
    image.update(height=1216, width=1936)
    (folder / 'scene_x.json').write_text(json.dumps(scene))
    sample = DDADDataset(data_root=str(tmp_path), split='val', pipeline=LOAD)[0]
    assert sample['img'].shape == (1216, 1936, 3)
    assert sample['cam_intrinsic'] == pytest.approx(
        np.array([[lens['fx'], 0, lens['cx']], [0, lens['fy'], lens['cy']], [0, 0, 1]])
    )
    assert np.allclose(sample['gt_depth'], stored, atol=1e-4)
    assert (stored > 0).sum() > 4000


def test_diml_pairs_left_images_with_their_depth(tmp_path, street):
    save(tmp_path / 'test/LR/A/outleft/1.png', street['img'])
    save(
        tmp_path / 'test/LR/A/depthmap/1.png',
        np.rint(np.minimum(street['gt_depth'], 65.535) * 1000).astype(np.uint16),
    )
    sample = DIMLOutdoorDataset(data_root=str(tmp_path), pipeline=LOAD)[0]
    check(sample, dict(gt_depth=np.minimum(street['gt_depth'], 65.535)), 'diml_outdoor', 5.01e-4)
    with pytest.raises(FileNotFoundError, match='test/HR does not exist'):
        DIMLOutdoorDataset(data_root=str(tmp_path), folder='test/HR')


def nyu_labeled(root, frames):
    """Write the two files; MATLAB stores columns first, so HDF5 readers see every axis reversed."""
    with h5py.File(root / 'nyu_depth_v2_labeled.mat', 'w') as file:
        file['images'] = np.stack([frame['img'][..., ::-1].transpose(2, 1, 0) for frame in frames])
        file['depths'] = np.stack([frame['gt_depth'].T for frame in frames])
        file['rawDepths'] = np.stack(
            [frame['gt_depth'].T * (np.arange(SIZE[1])[:, None] > 3) for frame in frames]
        )
        names = []
        for index, name in enumerate(('kitchen', 'living_room', 'office')):
            file[f'#refs#/{index}'] = np.array([[ord(letter)] for letter in name], np.uint16)
            names.append(file[f'#refs#/{index}'].ref)
        file['sceneTypes'] = np.array([names], h5py.ref_dtype)
    scipy.io.savemat(root / 'splits.mat', dict(trainNdxs=[[3], [1]], testNdxs=[[2]]))


def test_labelled_nyu_is_read_from_its_mat_file(tmp_path):
    frames = [render_scene('rooms', 0, index, 'test', SIZE) for index in range(3)]
    nyu_labeled(tmp_path, frames)
    train = NYULabeledDataset(data_root=str(tmp_path), split='train', pipeline=LOAD)
    assert [sample['scene'] for sample in train] == ['office', 'kitchen']
    check(train[0], frames[2], 'nyu', 0)
    assert np.array_equal(train[1]['img'], frames[0]['img'])
    # Frames are no files of their own.
    record = probe_sample(train.get_data_info(0), contents=True, pixels=True)
    assert (record.image.fault, record.depth.fault, record.image.size) == ('', '', SIZE[::-1])
    raw = NYULabeledDataset(data_root=str(tmp_path), split='test', raw_depth=True, pipeline=LOAD)
    assert len(raw) == 1
    assert [data[0]['gt_filled'] for data in (train, raw)] == [
        True,
        False,
    ]  # a protocol of measured depth asks
    assert not raw[0]['gt_depth'][:, :4].any()
    assert np.array_equal(raw[0]['gt_depth'][:, 4:], frames[1]['gt_depth'][:, 4:])
    (tmp_path / 'splits.mat').unlink()
    with pytest.raises(FileNotFoundError, match=r'splits\.mat does not exist'):
        NYULabeledDataset(data_root=str(tmp_path))


def test_a_missing_library_says_how_to_install_it(tmp_path, monkeypatch):
    nyu_labeled(tmp_path, [render_scene('rooms', 0, 0, 'test', SIZE)] * 3)
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ImportError, match=r'needs h5py.*depth-toolbox\[optional\]'):
        NYULabeledDataset(data_root=str(tmp_path))


def test_scene_categories(tmp_path):
    lines = [
        '/living_room_0019/rgb_1.jpg',
        '/nyu_office_0/rgb_1.jpg',
        'study_room/rgb_2.jpg',
        '/kitchen_0028b/rgb_1.jpg',
    ]
    for line in lines:
        save(tmp_path / line.lstrip('/'), np.zeros((2, 2, 3), np.uint8))
    (tmp_path / 'list.txt').write_text(''.join(f'{line} {line} 518.8579\n' for line in lines))
    dataset = NYUDataset(data_root=str(tmp_path), ann_file='list.txt')
    actual = [dataset.get_data_info(index)['scene'] for index in range(4)]
    assert actual == ['living_room', 'nyu_office', 'study_room', 'kitchen']


def test_kitti_images_that_were_converted_to_jpeg_are_found(tmp_path, street):
    lines = []
    for drive, suffix in (
        ('2011_09_26_drive_0001_sync', '.png'),
        ('2011_09_26_drive_0002_sync', '.jpg'),
    ):
        name = f'2011_09_26/{drive}/image_02/data/0000000001'
        save(tmp_path / 'input' / f'{name}{suffix}', street['img'])
        depth = f'{drive}/proj_depth/groundtruth/image_02/0000000001.png'
        save(tmp_path / 'gt_depth' / depth, np.rint(street['gt_depth'] * 256).astype(np.uint16))
        lines.append(f'{name}.png {depth} 721.5377\n')
    (tmp_path / 'list.txt').write_text(''.join(lines))
    prefix = dict(img_path='input', depth_path='gt_depth')
    dataset = KITTIDataset(
        data_root=str(tmp_path), ann_file='list.txt', data_prefix=prefix, pipeline=LOAD
    )
    assert [sample['img_path'][-4:] for sample in dataset] == ['.png', '.jpg']
    check(dataset[1], street, 'kitti', 1 / 512 + 1e-6)
    assert dataset[1]['scene'] == 'outdoor_scene'
