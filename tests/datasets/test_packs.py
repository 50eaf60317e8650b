"""Packs give exactly what the files gave, are smaller than promised, and never hide damage."""

import json
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from depth.data_tools.pack_writer import write_pack
from depth.datasets import FolderDepthDataset, KITTIDataset, NYUDataset
from depth.datasets.packs import (
    OPEN_SHARDS,
    Record,
    decode,
    encode_array,
    encode_image,
    read_index,
    read_record,
    shard_name,
    verify,
)
from depth.datasets.scenes import render_scene
from depth.engine.config import load_config
from depth.engine.config_check import check_data_paths
from depth.engine.errors import ConfigError
from tests.shared import REPO, SAMPLES, needs_samples
from tests.shared_process import run_python

pytest.importorskip('zstandard', reason='packs need zstandard')
PIPELINE = [dict(type='LoadImage'), dict(type='LoadDepth'), dict(type='PackDepthInputs')]


@pytest.fixture
def folder(tmp_path):
    """A folder data set of a PNG, a JPEG and a 16-bit grey image with depth as PNG, npy and npz."""
    root = tmp_path / 'data'
    (root / 'images/sub').mkdir(parents=True)
    (root / 'depth/sub').mkdir(parents=True)
    scenes = [render_scene('rooms', seed=0, index=index, image_size=(48, 64)) for index in range(3)]
    cv2.imwrite(str(root / 'images/a.png'), scenes[0]['img'])
    cv2.imwrite(str(root / 'images/sub/b.jpg'), scenes[1]['img'])
    cv2.imwrite(str(root / 'images/c.png'), scenes[2]['img'][..., 0].astype(np.uint16) * 200)
    cv2.imwrite(str(root / 'depth/a.png'), (scenes[0]['gt_depth'] * 1000).astype(np.uint16))
    np.save(root / 'depth/sub/b.npy', scenes[1]['gt_depth'])
    np.savez(root / 'depth/c.npz', scenes[2]['gt_depth'].astype(np.float64))
    (root / 'intrinsics.json').write_text(json.dumps(dict(fx=50, fy=51, cx=31.5, cy=23.5)))
    return root


def samples(dataset):
    return [dataset[index] for index in range(len(dataset))]


def assert_equal(actual, expected):
    assert len(actual) == len(expected) > 0
    for ours, theirs in zip(actual, expected, strict=True):
        assert torch.equal(ours['inputs'], theirs['inputs'])
        assert ours['data_samples'].metainfo == theirs['data_samples'].metainfo
        for key in ('gt_depth', 'intrinsics'):
            assert (key in ours['data_samples']) == (key in theirs['data_samples'])
            if key in theirs['data_samples']:
                assert torch.equal(ours['data_samples'].get(key), theirs['data_samples'].get(key))


@pytest.mark.parametrize(
    'array', [np.uint8, np.uint16, np.float32, np.float16], ids=lambda dtype: dtype.__name__
)
def test_records_come_back(array):
    values = np.random.default_rng(0).integers(0, 255, (7, 9)).astype(array)
    content, entry = encode_array(values)
    actual = decode(content, Record(0, 0, len(content), **entry))
    assert actual.dtype == array
    assert np.array_equal(actual, values)


def test_image_records_come_back_and_view_order_does_not_matter():
    img = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    for view in (img, img[:, ::-1], img[3:9, 2:11]):
        content, entry = encode_image(view)
        assert np.array_equal(decode(content, Record(0, 0, len(content), **entry)), view)


def test_a_pack_is_the_data_set_without_its_files(folder, tmp_path):
    expected = samples(FolderDepthDataset(str(folder), pipeline=PIPELINE))
    index = write_pack(FolderDepthDataset(str(folder)), tmp_path / 'pack')
    assert [entry['packed_image'].codec for entry in index['samples']] == [
        'image',
        'image',
        'file',
    ]  # JPEG is kept
    shutil.rmtree(folder)
    assert_equal(
        samples(FolderDepthDataset(str(folder), pack=str(tmp_path / 'pack'), pipeline=PIPELINE)),
        expected,
    )
    assert verify(tmp_path / 'pack') == []


def test_workers_and_small_shards_change_nothing(folder, tmp_path):
    dataset = FolderDepthDataset(str(folder))
    reports = []
    write_pack(dataset, tmp_path / 'one')
    index = write_pack(
        dataset,
        tmp_path / 'many',
        shard_size=4000,
        workers=1,
        progress=lambda *counts: reports.append(counts),
    )
    assert reports == [(1, 3), (2, 3), (3, 3)]
    assert len(index['shards']) > 1
    packs = [
        FolderDepthDataset(str(folder), pack=str(tmp_path / name), pipeline=PIPELINE)
        for name in ('one', 'many')
    ]
    assert_equal(samples(packs[1]), samples(packs[0]))


def test_settings_of_the_data_set_still_apply(folder, tmp_path):
    write_pack(FolderDepthDataset(str(folder)), tmp_path / 'pack')
    plain = FolderDepthDataset(str(folder), pack=str(tmp_path / 'pack'), pipeline=PIPELINE)
    halved = FolderDepthDataset(
        str(folder), pack=str(tmp_path / 'pack'), depth_scale=2000, pipeline=PIPELINE
    )
    ratio = plain[0]['data_samples'].gt_depth / halved[0]['data_samples'].gt_depth
    assert torch.allclose(ratio, torch.full_like(ratio, 2.0))


@needs_samples
@pytest.mark.parametrize(
    ('dataset', 'root', 'lines', 'growth'),
    [
        (KITTIDataset, 'kitti', 'image_02/{0}.png gt_depth/{0}.png 721'.format('0000000050'), 1.0),
        (NYUDataset, 'indoor_rgbd', 'rgb/nyu_00050.jpg depth/nyu_00050.png 518', 1.25),
    ],
)
def test_real_frames(dataset, root, lines, growth, tmp_path):
    (tmp_path / 'split.txt').write_text(lines)
    options = dict(
        data_root=str(SAMPLES / root), ann_file=str(tmp_path / 'split.txt'), pipeline=PIPELINE
    )
    index = write_pack(dataset(**options), tmp_path / 'pack')
    assert_equal(
        samples(dataset(pack=str(tmp_path / 'pack'), **options)), samples(dataset(**options))
    )
    files = sum((SAMPLES / root / name).stat().st_size for name in lines.split()[:2])
    assert sum(shard['size'] for shard in index['shards']) < files * growth


def test_damage_is_found(folder, tmp_path):
    write_pack(FolderDepthDataset(str(folder)), tmp_path / 'pack')
    shard = tmp_path / 'pack/shard-0000.bin'
    content = bytearray(shard.read_bytes())
    for entry in read_index(tmp_path / 'pack')['samples']:
        for key in ('packed_image', 'packed_depth'):
            record = Record(*entry[key])
            content[record.offset + record.size // 2] ^= 0x10
    shard.write_bytes(content)
    assert 'SHA-256' in verify(tmp_path / 'pack')[0]
    dataset = FolderDepthDataset(str(folder), pack=str(tmp_path / 'pack'), pipeline=PIPELINE)
    for index in range(3):
        with pytest.raises(ValueError, match=r'shard-0000\.bin is damaged at byte'):
            dataset[index]
    shard.write_bytes(content[:-1])
    with pytest.raises(ValueError, match='bytes'):
        FolderDepthDataset(str(folder), pack=str(tmp_path / 'pack'))


def test_what_is_wrong_is_said(folder, tmp_path):
    pack = tmp_path / 'pack'
    with pytest.raises(FileNotFoundError, match=r'pack\.py writes packs'):
        FolderDepthDataset(str(folder), pack=str(pack))
    write_pack(FolderDepthDataset(str(folder)), pack)
    with pytest.raises(FileExistsError, match='exists already'):
        write_pack(FolderDepthDataset(str(folder)), pack)
    with pytest.raises(ValueError, match='holds samples of FolderDepthDataset'):
        KITTIDataset(pack=str(pack))
    index = json.loads((pack / 'index.json').read_text())
    (pack / 'index.json').write_text(json.dumps(index | dict(format=99)))
    with pytest.raises(ValueError, match='format 99'):
        FolderDepthDataset(str(folder), pack=str(pack))


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda index: index.pop('list'), 'list is no dict'),
        (lambda index: index.pop('samples'), 'samples is no list'),
        (lambda index: index['samples'].clear(), 'it has no samples'),
        (lambda index: index['list'].pop('options'), 'list.options is no dict'),
        (
            lambda index: index['shards'][0].update(name='../../x.bin'),
            'shard 0 is not called shard-0000.bin',
        ),
        (
            lambda index: index['samples'][1].pop('img_path'),
            'there is no img_path of sample 1',
        ),
        (
            lambda index: index['samples'][1].pop('packed_image'),
            'there is no packed_image of sample 1',
        ),
        (
            lambda index: index['samples'][1].update(packed_depth=[0]),
            'there is no packed_depth of sample 1',
        ),
        (
            lambda index: index['samples'][0]['packed_image'].__setitem__(3, 'array'),
            'has another codec, of sample 0',
        ),
        (
            lambda index: index['samples'][0]['packed_image'].__setitem__(1, 10**9),
            'lies in no shard',
        ),
        (
            lambda index: index['samples'][0]['packed_image'].__setitem__(0, 7),
            'there is no packed_image of sample 0',
        ),
        (
            lambda index: index['samples'][2].update(depth_scale='1000'),
            "depth_scale is '1000', no number above 0, of sample 2",
        ),
    ],
    ids=range(12),
)
def test_a_damaged_index_is_said(folder, tmp_path, change, words):
    pack = tmp_path / 'pack'
    write_pack(FolderDepthDataset(str(folder)), pack)
    index = json.loads((pack / 'index.json').read_text())
    change(index)
    (pack / 'index.json').write_text(json.dumps(index))
    with pytest.raises(ValueError, match=rf'index\.json is damaged: .*{re.escape(words)}'):
        FolderDepthDataset(str(folder), pack=str(pack))


def test_what_a_killed_process_left_is_removed_and_nothing_else(folder, tmp_path):
    unfinished = tmp_path / 'pack.part'
    unfinished.mkdir()
    (unfinished / 'shard-0000.bin').write_bytes(b'half a shard')
    write_pack(FolderDepthDataset(str(folder)), tmp_path / 'pack')
    assert not unfinished.exists()
    unfinished = tmp_path / 'other.part'
    unfinished.mkdir()
    (unfinished / 'thesis.tex').write_text('somebody wants to keep this')
    with pytest.raises(FileExistsError, match=r'other\.part/thesis\.tex is no file of a pack'):
        write_pack(FolderDepthDataset(str(folder)), tmp_path / 'other')
    assert (unfinished / 'thesis.tex').is_file()


def write_lists(root, **lists):
    """Write split files over three frames called a, b and c, and the frames."""
    for index, name in enumerate('abc'):
        scene = render_scene('rooms', seed=1, index=index, image_size=(24, 32))
        cv2.imwrite(str(root / f'{name}.png'), scene['img'])
        cv2.imwrite(str(root / f'{name}_depth.png'), (scene['gt_depth'] * 1000).astype(np.uint16))
    for list_name, names in lists.items():
        (root / f'{list_name}.txt').write_text(
            ''.join(f'{name}.png {name}_depth.png 518\n' for name in names)
        )


def nyu(root, list_name, **kwargs):
    return NYUDataset(data_root=str(root), ann_file=f'{list_name}.txt', pipeline=PIPELINE, **kwargs)


def test_a_pack_serves_the_list_that_is_named_in_its_order_or_refuses(tmp_path):
    write_lists(tmp_path, train='abc', reverse='ca', test='bx')
    pack = str(tmp_path / 'pack')
    write_pack(nyu(tmp_path, 'train'), pack)
    assert_equal(samples(nyu(tmp_path, 'reverse', pack=pack)), samples(nyu(tmp_path, 'reverse')))
    with pytest.raises(
        ValueError,
        match=r'pack lacks 1 of the 2 images of .*test\.txt, the first: x; .*another list',
    ):
        nyu(tmp_path, 'test', pack=pack)
    with pytest.raises(
        ValueError, match=r"from the list 'train\.txt', .*ann_file='gone\.txt'.*not there"
    ):
        nyu(tmp_path, 'gone', pack=pack)
    (tmp_path / 'train.txt').unlink()  # a machine that has the pack alone
    assert len(nyu(tmp_path, 'train', pack=pack)) == 3


def test_a_pack_serves_no_other_part_of_the_data_set(folder, tmp_path):
    write_pack(FolderDepthDataset(str(folder)), tmp_path / 'pack')
    with pytest.raises(ValueError, match=r"data_prefix=.*'images'.*data_prefix=.*'other'"):
        FolderDepthDataset(
            str(folder), data_prefix=dict(img_path='other'), pack=str(tmp_path / 'pack')
        )


def test_a_pack_is_made_of_a_whole_list(folder, tmp_path):
    with pytest.raises(ValueError, match=r'indices=2; pack it without'):
        write_pack(FolderDepthDataset(str(folder), indices=2), tmp_path / 'pack')


@pytest.mark.parametrize('packed', [False, True])
def test_a_wrong_scale_is_refused_from_a_pack_as_from_files(folder, tmp_path, packed):
    write_pack(FolderDepthDataset(str(folder)), tmp_path / 'pack')
    options = dict(pack=str(tmp_path / 'pack')) if packed else {}
    dataset = FolderDepthDataset(str(folder), depth_scale=1.0, pipeline=PIPELINE, **options)
    with pytest.raises(ValueError, match=r'depth_scale=1 .*probably wrong'):
        dataset[0]


@pytest.mark.skipif(not Path('/proc/self/fd').is_dir(), reason='needs /proc to count open files')
def test_few_shards_stay_open(tmp_path):
    def open_files():
        return len(list(Path('/proc/self/fd').iterdir()))

    for number in range(300):
        (tmp_path / shard_name(number)).write_bytes(b'abc')
    before = open_files()
    for number in range(300):
        with pytest.raises(ValueError, match=f'{shard_name(number)} is damaged'):
            read_record(str(tmp_path), Record(number, 0, 3, 'file', (), 'uint8'))
    assert open_files() - before <= OPEN_SHARDS


def test_a_pack_keeps_no_damaged_jpeg(folder, tmp_path):
    path = folder / 'images/sub/b.jpg'
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b'\xff\xd9')
    with pytest.raises(
        ValueError, match=r'b\.jpg is a damaged JPEG file: .*end before the last pixel'
    ):
        write_pack(FolderDepthDataset(str(folder)), tmp_path / 'pack')
    assert not (tmp_path / 'pack').exists()


def test_a_config_with_a_pack_needs_no_other_files(tmp_path):
    cfg = load_config(
        REPO / 'configs/_base_/datasets/kitti_eigen.py',
        {'train_dataloader.dataset.pack': str(tmp_path)},
    )
    check_data_paths(cfg, ['train_dataloader'])
    with pytest.raises(ConfigError, match=r'dataset.pack: .*gone does not exist'):
        cfg.train_dataloader.dataset.pack = str(tmp_path / 'gone')
        check_data_paths(cfg, ['train_dataloader'])


def test_the_tool_writes_checks_and_says_how_to_go_on(folder, tmp_path):
    tool = [sys.executable, 'tools/dataset_converters/pack.py']
    options = ['--cfg-options', f'train_dataloader.dataset.data_root={folder}']
    config = 'configs/_base_/datasets/folder.py'
    counts = run_python(
        [*tool, config, '--out', str(tmp_path / 'pack'), *options],
        cwd=REPO,
    )
    assert counts.returncode == 0, counts.stderr
    assert f'train_dataloader.dataset.pack={tmp_path / "pack"}' in counts.stdout
    (tmp_path / 'pack/shard-0000.bin').write_bytes(
        bytes(len((tmp_path / 'pack/shard-0000.bin').read_bytes()))
    )
    checked = run_python([*tool, '--verify', str(tmp_path / 'pack')], cwd=REPO)
    assert checked.returncode == 1
    assert 'SHA-256' in checked.stdout
