"""Shards give what the files gave, are plain tar files, and hold nothing that is executed."""

import hashlib
import io
import json
import tarfile
import zlib

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose

from depth.cli import pack
from depth.data_tools.shard_writer import verify_shards, write_shards
from depth.datasets import (
    FolderDepthDataset,
    KITTIDataset,
    SampleIndex,
    ShardDataset,
    StereoFolderDataset,
    SyntheticDataset,
)
from depth.datasets.base import build_pipeline
from depth.datasets.scenes import render_scene
from depth.datasets.shards import (
    INDEX,
    DamagedShardError,
    ShardError,
    encode_metadata,
    parse_index,
    read_members,
    sample_from_members,
)
from tests.shared import SAMPLES, needs_samples

pytest.importorskip('zstandard', reason='shards need zstandard')
PIPELINE = [dict(type='LoadImage'), dict(type='LoadDepth'), dict(type='PackDepthInputs')]


@pytest.fixture
def folder(tmp_path):
    """A folder data set of a PNG and two JPEG images with depth as PNG, npy and npz."""
    root = tmp_path / 'data'
    (root / 'images/sub').mkdir(parents=True)
    (root / 'depth/sub').mkdir(parents=True)
    scenes = [render_scene('rooms', seed=0, index=index, image_size=(48, 64)) for index in range(3)]
    cv2.imwrite(str(root / 'images/a.png'), scenes[0]['img'])
    cv2.imwrite(str(root / 'images/sub/b.jpg'), scenes[1]['img'])
    cv2.imwrite(str(root / 'images/c.jpg'), scenes[2]['img'])
    cv2.imwrite(str(root / 'depth/a.png'), (scenes[0]['gt_depth'] * 1000).astype(np.uint16))
    np.save(root / 'depth/sub/b.npy', scenes[1]['gt_depth'])
    np.savez(root / 'depth/c.npz', scenes[2]['gt_depth'].astype(np.float64))
    (root / 'intrinsics.json').write_text(json.dumps(dict(fx=50, fy=51, cx=31.5, cy=23.5)))
    return root


def assert_equal(actual, expected, root=None):
    """Compare packed samples bit by bit; paths of the files are those below their root."""
    assert len(actual) == len(expected) > 0
    for index in range(len(expected)):
        # The key seeds the augmentation.
        ours, theirs = (dataset[SampleIndex(index, (0, index))] for dataset in (actual, expected))
        assert torch.equal(ours['inputs'], theirs['inputs'])
        meta = dict(theirs['data_samples'].metainfo)
        for key in ('img_path', 'depth_path'):
            if root is not None and meta.get(key):
                meta[key] = meta[key].removeprefix(f'{root}/')
        assert ours['data_samples'].metainfo == meta
        assert ours['data_samples'].keys() == theirs['data_samples'].keys()
        for key, value in theirs['data_samples'].items():
            assert torch.equal(ours['data_samples'].get(key), value), key


def test_shards_are_the_data_set_without_its_files(folder, tmp_path):
    augmented = [*PIPELINE[:2], dict(type='RandomFlip', prob=0.5), PIPELINE[2]]
    files = FolderDepthDataset(str(folder), pipeline=augmented, max_depth=9.0)
    index = write_shards(files, tmp_path / 'shards')
    shards = ShardDataset(str(tmp_path / 'shards'), pipeline=augmented)
    assert_equal(shards, files, folder)
    assert shards.metainfo == dict(dataset_name='folder', min_depth=1e-3, max_depth=9.0)
    assert index.dataset == 'FolderDepthDataset'
    # Settings of the data set still apply.
    halved = ShardDataset(
        str(tmp_path / 'shards'), pipeline=PIPELINE, depth_scale=2000, max_depth=8
    )
    sample = halved[0]['data_samples']
    reference = FolderDepthDataset(str(folder), pipeline=PIPELINE)[0]['data_samples']
    torch.testing.assert_close(2 * sample.gt_depth, reference.gt_depth)
    assert sample.max_depth == 8


def test_rendered_scenes_and_pairs_are_written_too(folder, tmp_path):
    pipeline = [dict(type='RandomFlip', prob=0.5), dict(type='PackDepthInputs', with_normals=True)]
    options = dict(num_scenes=3, image_size=(24, 32), world='streets')
    write_shards(SyntheticDataset(**options), tmp_path / 'scenes', shard_size=1)
    scenes = ShardDataset(str(tmp_path / 'scenes'), pipeline=pipeline)
    assert len(scenes.shards) == 3  # a sample is never cut
    assert_equal(scenes, SyntheticDataset(**options, pipeline=pipeline))

    for side in ('left', 'right'):
        (folder / side).mkdir()
        scene = render_scene('rooms', seed=1, index=len(side), image_size=(24, 32))
        cv2.imwrite(str(folder / side / 'x.png'), scene['img'])
    camera = dict(fx=50, fy=51, cx=15.5, cy=11.5, baseline_m=0.1)
    (folder / 'intrinsics.json').write_text(json.dumps(camera))
    pipeline = [dict(type='LoadPair'), dict(type='PackStereoInputs')]
    pairs = StereoFolderDataset(str(folder), sides=('left', 'right'), pipeline=pipeline)
    pairs._check_first = lambda sample: None
    write_shards(pairs, tmp_path / 'pairs')
    assert_equal(ShardDataset(str(tmp_path / 'pairs'), pipeline=pipeline), pairs, folder)


@needs_samples
def test_real_frames(tmp_path):
    (tmp_path / 'split.txt').write_text(
        'image_02/{0}.png gt_depth/{0}.png 721'.format('0000000050')
    )
    files = KITTIDataset(
        data_root=str(SAMPLES / 'kitti'), ann_file=str(tmp_path / 'split.txt'), pipeline=PIPELINE
    )
    write_shards(files, tmp_path / 'shards')
    assert_equal(
        ShardDataset(str(tmp_path / 'shards'), pipeline=PIPELINE), files, SAMPLES / 'kitti'
    )


def test_a_shard_is_a_plain_tar_file_and_the_index_describes_it(folder, tmp_path):
    write_shards(FolderDepthDataset(str(folder)), tmp_path / 'shards', shard_size=20000)
    again = write_shards(FolderDepthDataset(str(folder)), tmp_path / 'again', shard_size=20000)
    names = []
    for shard in again.shards:
        content = (tmp_path / 'shards' / shard.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == shard.sha256  # also: the same bytes each time
        assert len(content) == shard.size
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            assert all(member.isreg() for member in archive)
            members = archive.getnames()
        assert len({name.partition('.')[0] for name in members}) == shard.samples
        names += members
    assert len(again.shards) > 1
    # Sorted by path: a.png, c.jpg, sub/b.jpg. JPEG files are kept as they are.
    assert names == [
        *('000000000.json', '000000000.image.zst', '000000000.depth.zst'),
        *('000000001.json', '000000001.image.jpg', '000000001.depth.zst'),
        *('000000002.json', '000000002.image.jpg', '000000002.depth.zst'),
    ]
    last = tmp_path / 'shards' / again.shards[-1].name
    with tarfile.open(last) as archive:
        content = archive.extractfile('000000002.image.jpg').read()
    assert content == (folder / 'images/sub/b.jpg').read_bytes()
    stored = json.loads((tmp_path / 'shards' / INDEX).read_text())
    assert stored['list']['options']['data_prefix'] == dict(img_path='images', depth_path='depth')
    assert str(tmp_path) not in last.read_bytes().decode('latin-1')


def test_webdataset_reads_the_shards(folder, tmp_path):
    webdataset = pytest.importorskip('webdataset')
    files = FolderDepthDataset(str(folder), pipeline=PIPELINE)
    index = write_shards(files, tmp_path / 'shards', shard_size=20000)
    urls = [str(tmp_path / 'shards' / shard.name) for shard in index.shards]
    groups = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [group['__key__'] for group in groups] == ['000000000', '000000001', '000000002']
    # Generic decoders understand the JPEG member.
    decoded = next(iter(webdataset.WebDataset(urls[-1:], shardshuffle=False).decode('rgb8')))
    img = cv2.imread(str(folder / 'images/sub/b.jpg'))
    assert decoded['image.jpg'].shape == img.shape
    steps = Compose(build_pipeline(PIPELINE))
    scale = dict(depth_scale=1000.0)
    mapped = webdataset.WebDataset(urls, shardshuffle=False).map(sample_from_members)
    for sample, expected in zip(mapped.map(lambda s: steps(s | scale)), files, strict=True):
        assert torch.equal(sample['inputs'], expected['inputs'])
        assert torch.equal(sample['data_samples'].gt_depth, expected['data_samples'].gt_depth)


def tar_of(members):
    """Return a shard of members by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def dataset_of(folder, content, metadata_crc=0):
    """Return a data set of one shard, of one sample by its index."""
    folder.mkdir()
    (folder / 'shard-000000.tar').write_bytes(content)
    entry = dict(
        name='shard-000000.tar',
        samples=1,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        metadata_crc=metadata_crc,
    )
    index = dict(format=1, dataset='X', dataset_name='x', min_depth=1, max_depth=2, depth_scale=1)
    (folder / INDEX).write_text(json.dumps(index | dict(shards=[entry])))
    return ShardDataset(str(folder), pipeline=PIPELINE, retries=0)


def metadata(**coding):
    return encode_metadata({}, dict(image=dict(shape=[2, 2, 3], dtype='uint8', crc=0) | coding))


def image_of(number_of_bytes):
    zstandard = pytest.importorskip('zstandard')
    return zstandard.ZstdCompressor(write_checksum=True).compress(bytes(number_of_bytes))


@pytest.mark.parametrize(
    ('members', 'message'),
    [
        ({'0.pkl': b'cos\nsystem\n'}, r'0\.pkl: members of that type are not read'),
        ({'0.json': b'{}', '../0.json': b''}, 'is no member of a shard'),
        ({'0.json': b'{}', '1.json': b'{}'}, 'holds 2 samples, the index says 1'),
        ({'0.json': b'{"crc": "0", "sample": {}, "records": {}}'}, 'checksum of the metadata'),
        ({'0.json': b'[' * 100000}, 'metadata of the sample cannot be read'),
        ({'0.json': encode_metadata({}, {})}, 'has no image'),
        ({'0.json': metadata(codec='image')}, r'image\.zst of the sample is missing'),
        ({'0.json': metadata(codec='image', dtype='object')}, 'no array of numbers but object'),
        ({'0.json': metadata(codec='image', shape=[1 << 20] * 3)}, 'exceeds the'),
        (
            {'0.json': metadata(codec='image'), '0.image.zst': image_of(1 << 20)},
            'announces 1048576 bytes, its shape has 12',
        ),
        (
            {'0.json': metadata(codec='image', crc=1), '0.image.zst': image_of(12)},
            'its checksum is not that of the metadata',
        ),
        (
            {'0.json': metadata(codec='image'), '0.image.zst': image_of(12)[:-1] + b'\xff'},
            'record is damaged',
        ),
        ({'0.json': metadata(codec='file'), '0.image.jpg': b''}, 'record is damaged'),
        (
            {'0.json': metadata(codec='file', crc=1996459178), '0.image.jpg': b'\0\0'},
            'checksum|is no image',
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else next(reversed(value)),
)
def test_what_a_shard_must_not_hold_is_refused(tmp_path, members, message):
    crc = zlib.crc32(members.get('0.json', b''))
    dataset = dataset_of(tmp_path / 'shards', tar_of(members), crc)
    with pytest.raises(DamagedShardError, match=message) as caught:
        dataset[0]
    assert 'shard-000000.tar' in str(caught.value)


def test_links_and_giants_are_refused(tmp_path):
    link, giant = tarfile.TarInfo('0.json'), tarfile.TarInfo('0.json')
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
    giant.size = 1 << 30
    for number, info in enumerate((link, giant)):
        content = info.tobuf(tarfile.USTAR_FORMAT) + bytes(10240 - 512)
        dataset = dataset_of(tmp_path / str(number), content)
        with pytest.raises(DamagedShardError, match=r'no member of a shard|more than the \d+'):
            dataset[0]


def test_files_that_the_metadata_name_are_not_read(folder):
    values = dict(img_path=str(folder / 'images/a.png'), depth_path=str(folder / 'depth/a.png'))
    values |= dict(img_reader='nyu_labeled_image', depth_reader='nyu_labeled')
    with pytest.raises(DamagedShardError, match='no image'):
        sample_from_members({'json': encode_metadata(values, {})})
    coding = dict(codec='image', shape=[2, 2, 3], dtype='uint8', crc=0)
    members = {'json': encode_metadata(values, dict(image=coding)), 'image.zst': image_of(12)}
    sample = sample_from_members(members)
    assert sample['img_reader'] == 'sharded_image'
    assert 'depth_reader' not in sample and 'depth_path' not in sample


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(format=2), 'has format 2, this version reads 1'),
        (dict(shards=[]), 'lists no shard'),
        (dict(min_depth=None), 'is damaged: TypeError'),
        (
            dict(
                shards=[
                    dict(name='../a.tar', samples=1, size=9999, sha256='0' * 64, metadata_crc=0)
                ]
            ),
            'no name of',
        ),
        (
            dict(
                shards=[dict(name='a.tar', samples=0, size=9999, sha256='0' * 64, metadata_crc=0)]
            ),
            'is wrong',
        ),
        (
            dict(shards=[dict(name='a.tar', samples=1, size=9999, sha256='x', metadata_crc=0)]),
            'is wrong',
        ),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(change, message):
    entry = dict(name='a.tar', samples=1, size=9999, sha256='0' * 64, metadata_crc=0)
    index = dict(format=1, dataset='X', dataset_name='x', min_depth=1, max_depth=2, depth_scale=1)
    index['shards'] = [entry]
    assert parse_index(json.dumps(index).encode(), 'here').shards[0].samples == 1
    with pytest.raises(ValueError, match=message):
        parse_index(json.dumps(index | change).encode(), 'here')


def test_shards_are_selected_by_name(tmp_path):
    write_shards(SyntheticDataset(num_scenes=3, image_size=(24, 32)), tmp_path / 's', shard_size=1)
    selected = ShardDataset(str(tmp_path / 's'), select=['*-000000.tar', '*-000002.tar'])
    assert [selected[index]['img_path'][-9:] for index in range(2)] == ['00000.png', '00002.png']
    with pytest.raises(IndexError, match='sample 2 of 2'):
        selected[2]
    with pytest.raises(ValueError, match=r'matches none of the 3 shards'):
        ShardDataset(str(tmp_path / 's'), select=['train-*'])
    with pytest.raises(FileNotFoundError, match=r'shards\.json does not exist; depth pack'):
        ShardDataset(str(tmp_path))


def test_the_command_writes_and_checks_shards(folder, tmp_path, capsys):
    out = tmp_path / 'shards'
    command = ['configs/_base_/datasets/folder.py', '--format', 'wds', '--out', str(out)]
    options = ['--cfg-options', f'train_dataloader.dataset.data_root={folder}']
    assert pack.main([*command, *options]) == 0
    assert '3 samples' in capsys.readouterr().out
    assert pack.main(['--verify', str(out)]) == 0
    with pytest.raises(FileExistsError, match='exists already'):
        pack.main([*command, *options])
    shard = out / 'shard-000000.tar'
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    assert pack.main(['--verify', str(out)]) == 1
    assert 'SHA-256' in capsys.readouterr().out
    shard.write_bytes(content[:-1])
    assert 'were written' in verify_shards(out)[0]
    shard.unlink()
    assert 'is missing' in verify_shards(out)[0]
    mixed = ['nyu_kitti_mixed', '--format', 'wds', '--out', str(tmp_path / 'mixed')]
    with pytest.raises(ValueError, match=r'--key, such as train_dataloader\.dataset\.datasets\.0'):
        pack.main(mixed)


def test_damage_of_a_local_shard_is_named(folder, tmp_path):
    write_shards(FolderDepthDataset(str(folder)), tmp_path / 's')
    shard = tmp_path / 's/shard-000000.tar'
    content = shard.read_bytes()
    start = content.index(b'000000001.depth.zst') + 512
    for position, message in ((start + 30, 'record is damaged'), (520, 'metadata')):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        shard.write_bytes(damaged)
        dataset = ShardDataset(str(tmp_path / 's'), pipeline=PIPELINE, retries=0)
        with pytest.raises(DamagedShardError, match=message) as caught:
            dataset[0 if position == 520 else 1]
        assert 'shard-000000.tar' in str(caught.value)
    shard.write_bytes(content[:-512])
    dataset = ShardDataset(str(tmp_path / 's'), pipeline=PIPELINE, retries=1, retry_wait=0)
    with pytest.raises(ShardError, match=r'in 2 attempts: it has \d+ bytes, the index says'):
        dataset[0]


def test_another_version_of_a_shard_is_refused(tmp_path):
    for seed in (0, 1):
        scenes = SyntheticDataset(num_scenes=2, image_size=(8, 8), seed=seed)
        write_shards(scenes, tmp_path / str(seed))
    shard = (tmp_path / '1/shard-000000.tar').read_bytes()
    assert len(shard) == (tmp_path / '0/shard-000000.tar').stat().st_size
    (tmp_path / '0/shard-000000.tar').write_bytes(shard)
    with pytest.raises(DamagedShardError, match='another version than the index describes'):
        ShardDataset(str(tmp_path / '0'), retries=0)[0]


def test_members_are_read_as_tarfile_reads_them():
    members = {'7.json': b'{}', '7.a.jpg': b'x' * 512, '7.b.zst': b'y' * 513}
    content = tar_of(members)
    stripped = {name.partition('.')[2]: value for name, value in members.items()}
    size = sum(512 + -(-len(value) // 512) * 512 for value in members.values())
    assert read_members(content[:size]) == stripped
    with pytest.raises(DamagedShardError):
        read_members(content[: size - 1])
