import json
import shutil
import sys
import zlib

import cv2
import numpy as np
import pytest

from depth.data_tools.doctor import examine, format_report
from depth.data_tools.doctor.files import intrinsics_fault
from depth.data_tools.rendering import (
    MARKER,
    FolderLayout,
    KITTIRawStereoLayout,
    NYULayout,
    render_layout,
)
from depth.datasets.kitti import EIGEN_TEST_DRIVES
from depth.integrity import sha256_of
from depth.registry import DATASETS
from tests.data_tools.prepare.test_preparers import write_labeled
from tests.data_tools.split_files import published_split_files
from tests.shared import REFERENCE, REPO, needs_reference
from tests.shared_process import run_python


@pytest.fixture(scope='module')
def rendered(tmp_path_factory):
    """Rendered rooms as folder data set and as NYU, and streets as KITTI would have them; not to be changed."""
    root = tmp_path_factory.mktemp('rendered')
    render_layout(FolderLayout(image_size=(24, 32)), root / 'folder', dict(train=6, val=3))
    render_layout(NYULayout(image_size=(480, 640)), root / 'nyu', dict(train=1, test=1))
    return root


@pytest.fixture
def folder(rendered, tmp_path):
    """A copy of the folder data set that may be changed."""
    shutil.copytree(rendered / 'folder', tmp_path / 'data')
    return tmp_path / 'data'


def folder_config(root, **kwargs):
    def loader(split):
        options = dict(depth_scale=1000.0, max_depth=10.0, pipeline=[]) | kwargs
        return dict(dataset=dict(type='FolderDepthDataset', data_root=str(root / split), **options))

    return dict(
        train_dataloader=loader('train'),
        val_dataloader=loader('val'),
        test_dataloader=loader('val'),
    )


def findings_of(report):
    """Return what was found, without the words."""
    return {
        (finding.severity, finding.kind, finding.split, finding.count)
        for finding in report.findings
    }


def test_a_clean_folder_has_no_findings(folder):
    for full in (False, True):
        report = examine(folder_config(folder), full=full)
        assert report.findings == []
        assert not report.failed
    summary = report.summaries[0]
    assert (summary['split'], summary['images'], summary['decoded']) == ('train', 6, 6)
    assert summary['valid'] == 1.0
    assert summary['sizes'] == '32x24'
    assert [item['split'] for item in report.summaries] == [
        'train',
        'test',
    ]  # validation is the test split here
    assert 'no findings' in format_report(report)


def test_a_clean_nyu_layout_has_no_findings(rendered):
    def loader(split):
        return dict(
            dataset=dict(
                type='NYUDataset', data_root=str(rendered / 'nyu'), ann_file=f'nyu_{split}.txt'
            )
        )

    report = examine(
        dict(train_dataloader=loader('train'), test_dataloader=loader('test')), full=True
    )
    assert report.findings == []
    assert report.summaries[0]['dataset'] == 'nyu (rendered)'


@pytest.mark.parametrize(
    ('label_type', 'unit'), [('affine_invariant_disparity', ''), ('inverse_depth', '1/m')]
)
def test_relative_labels_have_no_range_and_no_typical_depth(folder, label_type, unit):
    for path in (folder / 'train/depth').iterdir():
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float64)
        # Near the largest integer: beyond any range, if it were metres.
        inverse = np.where(depth > 0, 3e7 / depth.clip(min=500), 0)
        cv2.imwrite(str(path), inverse.astype(np.uint16))
    as_metric = examine(folder_config(folder), full=True)
    assert ('error', 'scale', 'train', 6) in findings_of(as_metric)
    cfg = folder_config(folder)
    cfg['train_dataloader']['dataset']['label_type'] = label_type
    report = examine(cfg, full=True)
    assert findings_of(report) == {('note', 'labels', 'train', 6)}
    assert report.summaries[0]['beyond'] is None
    assert 'TYPICAL_DEPTH' not in report.summaries[0]['unchecked']
    text = format_report(report)
    assert f'label_type is {label_type!r}' in text
    row = text.splitlines()[1].split('  ')
    values = [cell.strip() for cell in row if cell.strip()][4:9]
    assert all(value.endswith(unit) and not value.endswith(' m') for value in values)


def missing_depth(root):
    (root / 'train/depth/00002.png').rename(root / 'train/depth/00002.txt')
    return {('error', 'listing', 'train', 1)}  # the pairs by stem no longer work out


def truncated_png(root):
    path = root / 'train/images/00001.png'
    path.write_bytes(path.read_bytes()[:-200])
    return {('error', 'truncated', 'train', 1)}


def empty_depth_file(root):
    (root / 'val/depth/00000.png').write_bytes(b'')
    return {('error', 'empty', 'test', 1)}


def no_image_at_all(root):
    (root / 'train/images/00003.png').write_bytes(b'this is text')
    return {('error', 'unreadable', 'train', 1)}


def depth_of_another_size(root):
    cv2.imwrite(str(root / 'train/depth/00004.png'), np.full((12, 16), 3000, np.uint16))
    return {('error', 'size', 'train', 1)}


def eight_bit_depth(root):
    cv2.imwrite(str(root / 'train/depth/00004.png'), np.full((24, 32), 200, np.uint8))
    return {('error', 'bits', 'train', 1), ('error', 'unreadable', 'train', 1)}


def one_map_in_another_unit(root):
    path = str(root / 'train/depth/00000.png')
    cv2.imwrite(path, cv2.imread(path, cv2.IMREAD_UNCHANGED) // 1000)
    return {('error', 'scale', 'train', 1)}


def no_valid_pixel(root):
    cv2.imwrite(str(root / 'val/depth/00001.png'), np.zeros((24, 32), np.uint16))
    return {('warning', 'valid', 'test', 1)}


def odd_floats(root):
    depth = np.full((24, 32), 3.0, np.float32)
    for index, value in enumerate((np.nan, np.inf, -1.0)):
        depth[0, 0] = value
        (root / f'train/depth/{index:05d}.png').unlink()
        np.save(root / f'train/depth/{index:05d}.npy', depth)
    return {
        ('warning', 'nan', 'train', 1),
        ('warning', 'infinite', 'train', 1),
        ('error', 'negative', 'train', 1),
    }


def cut_off_npy(root):
    path = root / 'train/depth/00000.npy'
    np.save(path, np.full((24, 32), 3.0, np.float32))
    path.write_bytes(path.read_bytes()[:-100])
    (root / 'train/depth/00000.png').unlink()
    return {('error', 'unreadable', 'train', 1)}


def same_picture_twice(root):
    shutil.copy(root / 'train/images/00000.png', root / 'train/images/00005.png')
    return {('warning', 'duplicate', 'train', 1)}


def training_picture_in_the_test_set(root):
    shutil.copy(root / 'train/images/00000.png', root / 'val/images/00002.png')
    return {('error', 'leak', 'test, train', 1)}


def camera_of_a_larger_image(root):
    (root / 'train/intrinsics.json').write_text(
        json.dumps(dict(fx=520.0, fy=520.0, cx=320.0, cy=240.0))
    )
    return {('error', 'camera', 'train', 6)}


FAULTS = [
    missing_depth,
    truncated_png,
    empty_depth_file,
    no_image_at_all,
    depth_of_another_size,
    eight_bit_depth,
    one_map_in_another_unit,
    no_valid_pixel,
    odd_floats,
    cut_off_npy,
    same_picture_twice,
    training_picture_in_the_test_set,
    camera_of_a_larger_image,
]


@pytest.mark.parametrize('plant', FAULTS, ids=lambda plant: plant.__name__)
def test_each_planted_fault_is_found_and_nothing_else(folder, plant):
    expected = plant(folder)
    report = examine(folder_config(folder))
    assert findings_of(report) == expected
    assert report.failed == any(severity == 'error' for severity, *_ in expected)
    assert all(len(finding.advice) > 15 for finding in report.findings)


@pytest.mark.parametrize(('scale', 'fitting'), [(256.0, '1000'), (1.0, '1000'), (100000.0, '1000')])
def test_a_wrong_depth_scale_is_found_and_the_right_one_named(folder, scale, fitting):
    report = examine(folder_config(folder, depth_scale=scale))
    assert {(finding.kind, finding.split) for finding in report.findings} >= {
        ('scale', 'train'),
        ('scale', 'test'),
    }
    advice = next(finding.advice for finding in report.findings if finding.kind == 'scale')
    assert fitting in advice.partition('would fit')[0]


def test_damage_inside_a_file_that_is_not_decoded_needs_full(folder):
    """A picture whose end is right but whose data are not."""
    path = folder / 'train/images/00001.png'
    content = bytearray(path.read_bytes())
    content[len(content) // 2 - 100 : len(content) // 2 + 100] = bytes(200)
    path.write_bytes(bytes(content))
    assert examine(folder_config(folder), decode=1).findings == []
    whole = examine(folder_config(folder), full=True)
    assert findings_of(whole) == {('error', 'unreadable', 'train', 1)}


def test_a_missing_root_is_one_finding(tmp_path):
    report = examine(folder_config(tmp_path / 'nowhere'))
    assert {(finding.severity, finding.kind) for finding in report.findings} == {
        ('error', 'listing')
    }
    assert 'does not exist' in report.findings[0].description


def test_missing_files_of_a_list_are_counted(rendered, tmp_path):
    shutil.copytree(rendered / 'nyu', tmp_path / 'nyu')
    with (tmp_path / 'nyu/nyu_train.txt').open('a') as file:
        file.write('/kitchen_9000/rgb_7.jpg /kitchen_9000/sync_depth_7.png 518\n' * 2)
    dataset = dict(type='NYUDataset', data_root=str(tmp_path / 'nyu'), ann_file='nyu_train.txt')
    report = examine(dict(train_dataloader=dict(dataset=dataset)))
    kinds = [(finding.severity, finding.kind, finding.count) for finding in report.findings]
    assert kinds == [('error', 'missing', 2), ('error', 'missing', 2), ('warning', 'duplicate', 1)]


def write_kitti(root, name, drives, frames=2):
    """A list of KITTI frames with files; each image is another one."""
    lines = []
    for drive in drives:
        for frame in range(frames):
            image = f'{drive[:10]}/{drive}_sync/image_02/data/{frame:010d}.png'
            depth = f'{drive}_sync/proj_depth/groundtruth/image_02/{frame:010d}.png'
            rng = np.random.RandomState(zlib.crc32(f'{name} {drive} {frame}'.encode()))
            for path, array in (
                (
                    root / 'input' / image,
                    rng.randint(0, 255, (375, 1242, 3)).astype(np.uint8)[::25].repeat(25, 0),
                ),
                (root / 'gt_depth' / depth, np.full((375, 1242), 13 * 256, np.uint16)),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            lines.append(f'{image} {depth} 721.5377')
    (root / name).write_text('\n'.join(lines) + '\n')


def kitti_config(root, type_='KITTIDataset', **names):
    prefix = dict(img_path='input', depth_path='gt_depth')
    loaders = {}
    for split, name in names.items():
        dataset = dict(type=type_, data_root=str(root), ann_file=name, data_prefix=prefix)
        loaders[f'{split}_dataloader'] = dict(dataset=dataset)
    return loaders


def test_an_eigen_test_drive_in_a_training_list_is_found_without_a_test_list(tmp_path):
    write_kitti(tmp_path, 'mine.txt', ['2011_09_26_drive_0001', '2011_09_26_drive_0002'])
    report = examine(kitti_config(tmp_path, train='mine.txt'))
    (finding,) = report.findings
    assert (finding.severity, finding.kind, finding.count) == ('error', 'leak', 2)
    assert finding.examples == ['2011_09_26_drive_0002']
    benchmark = examine(kitti_config(tmp_path, 'KITTIBenchmarkDataset', train='mine.txt'))
    assert [item.severity for item in benchmark.findings] == [
        'note'
    ]  # another split of the same drives


def test_a_drive_in_two_lists_is_found(tmp_path):
    write_kitti(tmp_path, 'a.txt', ['2011_09_26_drive_0001', '2011_09_26_drive_0005'], frames=1)
    write_kitti(tmp_path, 'b.txt', ['2011_09_26_drive_0005'], frames=2)
    lines = (tmp_path / 'b.txt').read_text().splitlines()
    # Another frame of the drive, not the same file.
    (tmp_path / 'b.txt').write_text(lines[1] + '\n')
    report = examine(kitti_config(tmp_path, train='a.txt', test='b.txt'))
    assert findings_of(report) == {('error', 'leak', 'train, test', 1)}


def test_the_same_file_in_two_lists_is_found(tmp_path):
    write_kitti(tmp_path, 'a.txt', ['2011_09_26_drive_0001'], frames=1)
    report = examine(kitti_config(tmp_path, train='a.txt', test='a.txt'))
    assert {finding.kind for finding in report.findings} == {'leak'}
    assert any(
        'in both lists' in finding.description and '.png' in finding.examples[0]
        for finding in report.findings
    )


def test_a_published_name_with_another_count_is_found(tmp_path):
    write_kitti(tmp_path, 'kitti_eigen_test.txt', ['2011_09_26_drive_0002'], frames=1)
    report = examine(kitti_config(tmp_path, test='kitti_eigen_test.txt'))
    assert findings_of(report) == {('error', 'count', 'test', 651)}
    assert '652' in report.findings[0].description
    (tmp_path / MARKER).write_text('{}')  # which does not make a real drive a rendered one
    said = examine(kitti_config(tmp_path, test='kitti_eigen_test.txt'))
    assert findings_of(said) == {('error', 'count', 'test', 651), ('warning', 'listing', 'test', 1)}
    write_kitti(tmp_path, 'kitti_eigen_test.txt', ['2011_09_26_drive_9500'], frames=1)
    # A stand-in is no such split.
    assert examine(kitti_config(tmp_path, test='kitti_eigen_test.txt')).findings == []


def test_data_sets_of_a_mixture_are_checked_one_by_one(folder, rendered):
    truncated_png(folder)
    nyu = dict(type='NYUDataset', data_root=str(rendered / 'nyu'), ann_file='nyu_train.txt')
    datasets = [nyu, folder_config(folder)['train_dataloader']['dataset']]
    report = examine(
        dict(train_dataloader=dict(dataset=dict(type='MixedDepthDataset', datasets=datasets)))
    )
    assert findings_of(report) == {('error', 'truncated', 'train[1]', 1)}


def test_frames_of_one_large_file_are_not_missing(tmp_path):
    write_labeled(tmp_path)
    dataset = dict(type='NYULabeledDataset', data_root=str(tmp_path), split='test')
    report = examine(dict(test_dataloader=dict(dataset=dataset)), full=True)
    assert {finding.kind for finding in report.findings} == {'count'}  # 2 frames, not 654
    assert report.summaries[0]['sizes'] == '640x480'


def test_scenes_in_memory_have_nothing_to_check():
    report = examine(
        dict(train_dataloader=dict(dataset=dict(type='SyntheticDataset', num_scenes=2)))
    )
    assert [(finding.severity, finding.kind) for finding in report.findings] == [
        ('note', 'listing')
    ]


@pytest.mark.parametrize(
    ('matrix', 'fault'),
    [
        ([[518, 0, 325], [0, 519, 253], [0, 0, 1]], ''),
        ([[100, 0, 325], [0, 100, 253], [0, 0, 1]], 'fx = 100 px'),
        ([[518, 0, 325], [0, 900, 253], [0, 0, 1]], 'pixels are square'),
        ([[518, 0, 100], [0, 519, 253], [0, 0, 1]], 'cx = 100 px'),
        ([[518, 0, 325], [0, 519, 20], [0, 0, 1]], 'cy = 20 px'),
        ([[np.nan, 0, 325], [0, 519, 253], [0, 0, 1]], 'no finite'),
    ],
)
def test_intrinsics(matrix, fault):
    said = intrinsics_fault(np.array(matrix, float), 640, 480)
    assert said.startswith(fault) or fault in said
    assert bool(said) == bool(fault)


@needs_reference
def test_the_table_of_published_splits_is_that_of_the_files():
    for name, split in published_split_files().items():
        path = REFERENCE / 'splits' / name
        path = path if path.is_file() else path.with_name(f'epcdepth_{name}')
        lines = path.read_text().splitlines()
        assert (sha256_of(path), len(lines)) == (split.sha256, split.lines), name
        assert sum(' None' not in line for line in lines) == split.usable, name


@needs_reference
def test_published_eigen_lists_share_no_drive_and_the_test_drives_are_those_listed():
    train, test = (
        {line.split('/')[1].removesuffix('_sync') for line in path.read_text().splitlines()}
        for path in (
            REFERENCE / 'splits' / f'kitti_eigen_{split}.txt' for split in ('train', 'test')
        )
    )
    assert test == EIGEN_TEST_DRIVES
    assert not train & EIGEN_TEST_DRIVES


@pytest.mark.slow
def test_the_tool_fails_on_errors_and_writes_its_report(folder, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        ''.join(f'{name} = {value!r}\n' for name, value in folder_config(folder).items())
    )
    command = [sys.executable, str(REPO / 'tools/analysis_tools/check_dataset.py'), str(config)]
    camera_of_a_larger_image(folder)
    process = run_python([*command, '--out', str(tmp_path / 'report.json')], cwd=REPO)
    assert process.returncode == 1, process.stderr
    assert 'ERROR' in process.stdout
    assert json.loads((tmp_path / 'report.json').read_text())['findings'][0]['kind'] == 'camera'


def test_what_self_supervised_sets_need_besides_is_looked_at_where_it_is_needed(tmp_path):
    render_layout(KITTIRawStereoLayout(image_size=(37, 124)), tmp_path, dict(train=1, test=1))
    names = dict(train='eigen_full_train', test='eigen_test')

    def config(**kwargs):
        common = dict(type='KITTIRawDataset', data_root=str(tmp_path), stereo=True) | kwargs
        datasets = {
            split: dict(common, ann_file=f'splits/{name}.txt') for split, name in names.items()
        }
        # The day's matrix is that of the full size; these images are smaller.
        return {f'{split}_dataloader': dict(dataset=dataset) for split, dataset in datasets.items()}

    for scan in tmp_path.rglob('*.bin'):
        scan.unlink()
    (tmp_path / '2011_09_26/2011_09_26_drive_9000_sync/image_03/data/0000000000.png').write_bytes(
        b''
    )
    report = examine(config(hint_root='depth_hints'))
    said = {
        (f.kind, f.split, f.count): f.description for f in report.findings if f.kind != 'camera'
    }
    assert set(said) == {('empty', 'train', 1), ('missing', 'train', 2), ('missing', 'test', 1)}
    assert 'depth hints do not exist' in said['missing', 'train', 2]
    assert 'laser scans do not exist' in said['missing', 'test', 1]
    hints = next(f for f in report.findings if f.kind == 'missing' and f.split == 'train')
    assert 'compute them' in hints.advice


STRANGER = """
from pathlib import Path

from depth.datasets import BaseDepthDataset
from depth.registry import DATASETS


@DATASETS.register_module()
class {name}(BaseDepthDataset):
    METAINFO = dict(dataset_name='{name}', min_depth=1e-3, max_depth={max_depth})
    {facts}

    def __init__(self, split='train', **kwargs):
        self.split = split
        super().__init__(**kwargs)

    def find_samples(self):
        for image in sorted(Path(self.data_root, self.split).glob('*/color.png')):
            yield dict(img_path=str(image), depth_path=str(image.with_name('depth.png'))), self.data_root
"""


@pytest.fixture
def examine_stranger(folder, tmp_path):
    """Examine a class that one file beside the library defines, with scene_000 in both splits."""

    def run(name, facts, max_depth=10.0):
        for split, scenes in (('train', range(6)), ('val', (0, 7))):
            for number in scenes:
                target = tmp_path / 'own' / split / f'scene_{number:03d}'
                target.mkdir(parents=True, exist_ok=True)
                source = folder / ('train' if split == 'train' else 'val')
                file_name = f'{number % (6 if split == "train" else 3):05d}.png'
                shutil.copy(source / 'images' / file_name, target / 'color.png')
                shutil.copy(source / 'depth' / file_name, target / 'depth.png')
        exec(STRANGER.format(name=name, facts='\n    '.join(facts), max_depth=max_depth), {})
        try:
            loaders = {}
            for split in ('train', 'val'):
                dataset = dict(type=name, data_root=str(tmp_path / 'own'), split=split)
                loaders[f'{split}_dataloader'] = dict(dataset=dataset)
            return examine(loaders)
        finally:
            DATASETS.module_dict.pop(name)

    return run


def test_a_strangers_data_set_gets_every_check_from_the_facts_of_its_class(examine_stranger):
    facts = [
        'SPLIT_COUNTS = dict(train=7, val=2)',
        "SCENE_OF = r'scene_\\d+'",
        'TYPICAL_DEPTH = (200.0, 300.0)',
        'CAMERA_HEIGHT = (1.0, 2.0)',
        'NOMINAL_CAMERA = (0.9, 0.5)',
        "TEST_SET = 'own'",
        "TEST_SCENES = frozenset(['scene_005'])",
    ]
    report = examine_stranger('StrangerWithFacts', facts)
    assert {(f.severity, f.kind, f.split) for f in report.findings} == {
        ('warning', 'count', 'train'),
        ('error', 'leak', 'train, val'),
        ('error', 'leak', 'train'),
        ('error', 'scale', 'train'),
        ('error', 'scale', 'val'),
    }
    assert [summary['unchecked'] for summary in report.summaries] == [{}, {}]


def test_the_report_names_the_facts_that_a_strangers_class_lacks(examine_stranger):
    report = examine_stranger('StrangerWithoutFacts', ['pass'], max_depth=80.0)
    names = ['SPLIT_COUNTS', 'SCENE_OF', 'TYPICAL_DEPTH', 'CAMERA_HEIGHT', 'NOMINAL_CAMERA']
    assert [list(summary['unchecked']) for summary in report.summaries] == [names, names]
    text = ' '.join(format_report(report).split())
    assert 'train: without attributes of StrangerWithoutFacts not checked: number of images' in text
    for name in names:
        assert f'({name})' in text
