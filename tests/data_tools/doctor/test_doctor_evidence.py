"""Faults of depth that show only in the pictures: wrong pairs, mirrors, scales, leaks; and no false alarms."""

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from depth.data_tools.doctor import examine, format_report
from depth.data_tools.doctor.probe import camera_height, floor_distance
from depth.data_tools.pack_writer import write_pack
from depth.data_tools.rendering import MARKER, FolderLayout, render_layout
from depth.datasets import NYUDataset
from tests.shared import SAMPLES, needs_samples

WORLDS = dict(rooms=(1000.0, 10.0), streets=(256.0, 80.0))  # depth_scale, max_depth
ODD = (2, 9, 17)


@pytest.fixture(scope='module')
def rendered(tmp_path_factory):
    """24 training and 12 validation scenes of both worlds; not to be changed."""
    root = tmp_path_factory.mktemp('worlds')
    for world in WORLDS:
        render_layout(
            FolderLayout(image_size=(72, 96), world=world), root / world, dict(train=24, val=12)
        )
    return root


@pytest.fixture(params=WORLDS)
def world(request, rendered, tmp_path):
    """Name of a world and a copy of its folders that may be changed."""
    shutil.copytree(rendered / request.param, tmp_path / request.param)
    return request.param, tmp_path / request.param


def config(name, root, scale=1.0):
    depth_scale, max_depth = WORLDS[name]
    common = dict(type='FolderDepthDataset', depth_scale=depth_scale * scale, max_depth=max_depth)
    train, val = (
        dict(dataset=dict(common, data_root=str(root / split))) for split in ('train', 'val')
    )
    return dict(train_dataloader=train, val_dataloader=val, test_dataloader=val)


def findings_of(report):
    return {(finding.severity, finding.kind, finding.split) for finding in report.findings}


def depth_files(root, split='train'):
    return sorted((root / split / 'depth').iterdir())


def shift_depth(root, by):
    paths = depth_files(root)
    contents = [path.read_bytes() for path in paths]
    for index, path in enumerate(paths):
        path.write_bytes(contents[(index + by) % len(paths)])


def change_depth(root, change, indices=range(24), split='train'):
    paths = depth_files(root, split)
    for index in indices:
        if index < len(paths):
            stored = change(cv2.imread(str(paths[index]), cv2.IMREAD_UNCHANGED))
            cv2.imwrite(str(paths[index]), stored.astype(np.uint16))


def test_clean_sets_have_no_findings(world):
    name, root = world
    report = examine(config(name, root))
    assert report.findings == []
    train = report.summaries[0]
    assert train['min'] <= train['low'] <= train['median'] <= train['high'] <= train['max']
    assert train['beyond'] == 0
    text = format_report(report)
    assert all(word in text for word in ('1 %', 'median', '99 %', 'beyond range', 'wrong pairs'))


@pytest.mark.parametrize(
    ('by', 'words'),
    [
        (1, 'one place before'),
        (-1, 'one place after'),
        (2, 'two places before'),
        (-2, 'two places after'),
    ],
)
def test_depth_of_a_neighbouring_frame_is_found(world, by, words):
    name, root = world
    shift_depth(root, by)
    report = examine(config(name, root))
    assert findings_of(report) == {('error', 'pair', 'train')}
    assert words in report.findings[0].description


@pytest.mark.parametrize(
    ('read', 'words'),
    [
        (np.s_[:, ::-1], 'left and right are exchanged'),
        (np.s_[::-1], 'top and bottom are exchanged'),
        (np.s_[::-1, ::-1], 'turned by 180 degrees'),
    ],
)
def test_mirrored_and_turned_depth_is_found(world, read, words):
    name, root = world
    change_depth(root, lambda stored: stored[read])
    report = examine(config(name, root))
    pairs = [finding for finding in report.findings if finding.kind == 'pair']
    assert [(finding.severity, finding.split) for finding in pairs] == [('error', 'train')]
    assert words in pairs[0].description


def test_shuffled_depth_is_found(world):
    name, root = world
    paths = depth_files(root)
    contents = [path.read_bytes() for path in paths]
    for path, index in zip(paths, np.random.RandomState(0).permutation(len(paths)), strict=True):
        path.write_bytes(contents[index])
    assert ('warning', 'pair', 'train') in findings_of(examine(config(name, root)))


@pytest.mark.parametrize('factor', [0.1, 0.256, 3.9])
def test_some_maps_of_another_scale_are_found(world, factor):
    name, root = world
    change_depth(root, lambda stored: np.minimum(stored * factor, 65535), ODD)
    report = examine(config(name, root))
    assert ('error', 'scale', 'train') in findings_of(report)
    named = ' '.join(example for finding in report.findings for example in finding.examples)
    assert any(f'{index:05d}.png' in named for index in ODD)


def test_half_of_the_maps_at_another_scale_are_found_in_a_set_without_facts(rendered, tmp_path):
    root = tmp_path / 'streets'
    shutil.copytree(rendered / 'streets', root)
    for marker in root.rglob(MARKER):
        marker.unlink()
    assert examine(config('streets', root)).findings == []
    change_depth(root, lambda stored: stored * 0.5, range(0, 24, 2))
    findings = examine(config('streets', root)).findings
    groups = [finding for finding in findings if 'above the road in 12 maps' in finding.description]
    assert [(finding.kind, finding.split) for finding in groups] == [('scale', 'train')]
    assert groups[0].count == 12


def test_all_depth_at_half_scale_is_found(world):
    name, root = world
    for split in ('train', 'val'):
        change_depth(root, lambda stored: stored * 0.5, split=split)
    assert findings_of(examine(config(name, root))) == {
        ('error', 'scale', 'train'),
        ('error', 'scale', 'test'),
    }


@pytest.mark.parametrize('scale', [0.1, 0.256, 0.5, 2.0, 3.9, 10.0])
def test_a_wrong_depth_scale_is_found_and_only_the_right_one_suggested(world, scale):
    name, root = world
    report = examine(config(name, root, scale))
    assert findings_of(report) >= {('error', 'scale', 'train'), ('error', 'scale', 'test')}
    for finding in report.findings:
        if finding.kind == 'scale':
            right = f'depth_scale={WORLDS[name][0]:g} would fit'
            assert right in finding.advice
            assert ' or max_depth is wrong' in finding.advice
            assert finding.advice.count('would fit') == 1


def test_a_float_map_gets_no_advice_on_depth_scale(rendered, tmp_path):
    root = tmp_path / 'rooms'
    shutil.copytree(rendered / 'rooms', root)
    for split in ('train', 'val'):
        for path in depth_files(root, split):
            np.save(
                path.with_suffix('.npy'),
                cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32),
            )
            path.unlink()
    report = examine(config('rooms', root))
    advice = next(finding.advice for finding in report.findings if finding.kind == 'scale')
    assert 'would fit' not in advice
    assert 'hold metres' in advice


def test_a_reencoded_training_image_in_the_test_list_is_found(world):
    name, root = world
    image = cv2.imread(str(root / 'train/images/00003.png'))
    (root / 'val/images/00001.png').unlink()
    cv2.imwrite(str(root / 'val/images/00001.jpg'), image)
    shutil.copy(root / 'train/depth/00003.png', root / 'val/depth/00001.png')
    report = examine(config(name, root))
    assert findings_of(report) == {('error', 'leak', 'train, test')}
    assert 'depth maps of equal content: 1 images' in report.findings[0].description


def test_two_training_sets_that_share_an_image_are_no_leak(rendered, tmp_path):
    roots = [tmp_path / name for name in ('one', 'two')]
    for root, numbers in zip(roots, (range(8), range(7, 15)), strict=True):
        for kind in ('images', 'depth'):
            (root / kind).mkdir(parents=True)
            for number in numbers:
                shutil.copy(rendered / f'rooms/train/{kind}/{number:05d}.png', root / kind)
    datasets = [dict(type='FolderDepthDataset', data_root=str(root)) for root in roots]
    report = examine(
        dict(train_dataloader=dict(dataset=dict(type='MixedDepthDataset', datasets=datasets)))
    )
    assert findings_of(report) == {('warning', 'duplicate', 'train[0], train[1]')}
    assert not report.failed


def test_a_damaged_jpeg_that_decodes_is_found(world):
    name, root = world
    image = cv2.imread(str(root / 'train/images/00003.png'))
    (root / 'train/images/00003.png').unlink()
    content = cv2.imencode('.jpg', image)[1].tobytes()
    (root / 'train/images/00003.jpg').write_bytes(content[: len(content) // 2] + b'\xff\xd9')
    report = examine(config(name, root))
    assert findings_of(report) == {('error', 'unreadable', 'train')}
    assert 'damaged JPEG file' in report.findings[0].examples[0]


@pytest.mark.filterwarnings('ignore:image .* has EXIF orientation')
def test_an_exif_rotation_is_said(rendered, tmp_path):
    root = tmp_path / 'rooms'
    shutil.copytree(rendered / 'rooms', root)
    path = root / 'train/images/00003.png'
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.save(path.with_suffix('.jpg'), quality=95, exif=exif)
    path.unlink()
    report = examine(config('rooms', root))
    assert findings_of(report) == {('warning', 'rotation', 'train')}
    assert '00003.jpg: orientation 6' in report.findings[0].examples[0]


def test_a_marker_of_rendered_data_excuses_no_wrong_scale(rendered, tmp_path):
    """Streets below a marker that tells of rooms, and of another size."""
    root = tmp_path / 'streets'
    shutil.copytree(rendered / 'streets', root)
    (root / MARKER).write_text(json.dumps(dict(world='rooms', image_size=[480, 640])))
    assert findings_of(examine(config('streets', root))) >= {
        ('warning', 'listing', 'train'),
        ('error', 'scale', 'train'),
    }


def test_a_packed_data_set_is_examined_without_its_files(rendered, tmp_path):
    pytest.importorskip('zstandard', reason='packs need zstandard')
    root = tmp_path / 'nyu'
    root.mkdir()
    names = [f'{index:05d}' for index in range(12)]
    (root / 'list.txt').write_text(
        ''.join(f'images/{name}.png depth/{name}.png 518\n' for name in names)
    )
    for kind in ('images', 'depth'):
        shutil.copytree(rendered / 'rooms/train' / kind, root / kind)
    options = dict(data_root=str(root), ann_file='list.txt')
    write_pack(NYUDataset(**options), tmp_path / 'pack')
    shutil.rmtree(root)
    dataset = dict(type='NYUDataset', pack=str(tmp_path / 'pack'), **options)
    report = examine(dict(test_dataloader=dict(dataset=dataset)))
    assert {finding.kind for finding in report.findings} <= {
        'camera'
    }  # that of NYU's larger images
    assert report.summaries[0]['decoded'] == 12


@needs_samples
@pytest.mark.parametrize(
    ('scale', 'is_right'), [(256.0, True), (1000.0, False), (512.0, False), (128.0, False)]
)
def test_real_kitti_frames(scale, is_right):
    """Depth of the benchmark, its camera 1.65 m above the road."""
    dataset = dict(
        type='KITTIDataset',
        data_root=str(SAMPLES / 'kitti'),
        ann_file='split.txt',
        depth_scale=scale,
    )
    report = examine(dict(test_dataloader=dict(dataset=dataset)))
    assert findings_of(report) == (set() if is_right else {('error', 'scale', 'test')})
    if not is_right:
        assert 'depth_scale=256 would fit' in report.findings[0].advice


@needs_samples
@pytest.mark.parametrize(('scale', 'is_right'), [(1000.0, True), (256.0, False), (500.0, False)])
def test_real_nyu_frames(scale, is_right, tmp_path):
    names = [f'nyu_{number}' for number in ('00000', '00050', '00100')]
    (tmp_path / 'list.txt').write_text(
        ''.join(f'rgb/{name}.jpg depth/{name}.png 518\n' for name in names)
    )
    root = str(SAMPLES / 'indoor_rgbd')
    dataset = dict(
        type='NYUDataset', data_root=root, ann_file=str(tmp_path / 'list.txt'), depth_scale=scale
    )
    report = examine(dict(test_dataloader=dict(dataset=dataset)))
    assert (('error', 'scale', 'test') not in findings_of(report)) == is_right
    assert bool(report.findings) != is_right


def plane_depth(height, shape=(100, 120), tilt=0.0):
    """Depth of a floor ``height`` metres below a camera that looks down by ``tilt`` radians, and the camera."""
    intrinsics = np.array([[100.0, 0, 59.5], [0, 100.0, 49.5], [0, 0, 1]])
    rows = (np.arange(shape[0]) - 49.5) / 100.0
    depth = height / np.maximum(np.cos(tilt) * rows + np.sin(tilt), 1e-9)
    depth = np.where((depth > 0) & (depth < 80), depth, 0)
    return np.repeat(depth[:, None], shape[1], axis=1).astype(np.float32), intrinsics


def test_heights_above_planes():
    assert camera_height(*plane_depth(1.65)) == pytest.approx(1.65, rel=1e-5)
    assert floor_distance(*plane_depth(1.4, tilt=0.3)) == pytest.approx(1.4, rel=1e-3)
    _, intrinsics = plane_depth(1.65)
    wall = np.full((100, 120), 5.0, np.float32)
    assert camera_height(wall, intrinsics) is None
    assert floor_distance(wall, intrinsics) is None
    assert floor_distance(np.zeros_like(wall), intrinsics) is None
