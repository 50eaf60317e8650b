import json
import re

import cv2
import numpy as np
import pytest

from depth.apis.prediction_files import PredictionFiles
from depth.visualization import save_depth_png

EMPTY = ('empty_npy', 'empty_npz', 'empty_png')
MAP = np.linspace(0.5, 9.5, 12, dtype=np.float32).reshape(3, 4)


def images(*paths):
    return [(path, None) for path in paths]


def test_the_longest_end_of_a_path_counts(tmp_path):
    for name in ('a/1', '1', 'b_2', '3'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f'{name}.npy', MAP)
    files = PredictionFiles(tmp_path)
    actual = files.match(
        images('/data/a/1.jpg', '/data/b/1.jpg', '/data/b/2.jpg', 'x/3.png', 'x/4.png')
    )
    assert actual == ['a/1', '1', 'b_2', '3', None]


def test_folders_between_a_drive_and_its_frame_may_be_left_out(tmp_path):
    day = '2011_09_26'
    for drive in ('0002', '0009'):
        np.save(tmp_path / f'{day}_drive_{drive}_sync_0000000069.npy', MAP)
    paths = [
        f'in/{day}/{day}_drive_{drive}_sync/image_02/data/0000000069.png'
        for drive in ('0002', '0009', '0013')
    ]
    actual = PredictionFiles(tmp_path).match(images(*paths))
    assert actual == [
        f'{day}_drive_0002_sync_0000000069',
        f'{day}_drive_0009_sync_0000000069',
        None,
    ]


def test_the_ground_truths_name_will_do(tmp_path):
    np.save(tmp_path / 'depth_7.npy', MAP)
    assert PredictionFiles(tmp_path).match([('rgb_7.jpg', 'gt/depth_7.png')]) == ['depth_7']


def test_one_prediction_for_two_images_is_refused(tmp_path):
    np.save(tmp_path / '0000000005.npy', MAP)
    with pytest.raises(ValueError, match=r'both drive_1/0000000005\.png and drive_2'):
        PredictionFiles(tmp_path).match(images('drive_1/0000000005.png', 'drive_2/0000000005.png'))


def test_what_this_toolbox_writes_is_read_back(tmp_path):
    save_depth_png(tmp_path / 'near.png', MAP)
    save_depth_png(tmp_path / 'far.png', MAP * 20)
    files = PredictionFiles(tmp_path)
    assert files.read('near') == pytest.approx(MAP, abs=6e-4)
    assert files.read('far') == pytest.approx(MAP * 20, abs=3e-3)
    assert PredictionFiles(tmp_path, depth_scale=500.0).read('near') == pytest.approx(
        2 * MAP, abs=2e-3
    )


def test_integers_without_a_scale_and_other_files_are_refused_in_words(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), (MAP * 256).astype(np.uint16))
    with pytest.raises(ValueError, match=r'neither a\.json.*nor --depth-scale'):
        PredictionFiles(tmp_path).read('a')
    assert PredictionFiles(tmp_path, depth_scale=256).read('a') == pytest.approx(MAP, abs=4e-3)
    (tmp_path / 'a.json').write_text(json.dumps(dict(scale=256)))
    with pytest.raises(ValueError, match='should be'):
        PredictionFiles(tmp_path).read('a')
    cv2.imwrite(str(tmp_path / 'b.png'), MAP.astype(np.uint8))
    with pytest.raises(ValueError, match='needs 16'):
        PredictionFiles(tmp_path, depth_scale=1).read('b')
    (tmp_path / 'c.png').write_bytes(b'nothing')
    (tmp_path / 'd.npy').write_bytes(b'nothing')
    np.save(tmp_path / 'e.npy', np.zeros((3, 4, 2)))
    for name, message in (
        ('c', 'cannot be decoded'),
        ('d', 'cannot be read'),
        ('e', 'expected one map'),
    ):
        with pytest.raises(ValueError, match=message):
            PredictionFiles(tmp_path).read(name)


def test_two_files_of_one_name_are_refused(tmp_path):
    np.save(tmp_path / 'a.npy', MAP)
    np.savez(tmp_path / 'a.npz', MAP)
    with pytest.raises(ValueError, match='same name'):
        PredictionFiles(tmp_path)


def test_an_archive_is_read_by_key_and_an_array_in_order(tmp_path):
    np.savez(tmp_path / 'all.npz', **{'scene/1': MAP, 'scene/2': 2 * MAP})
    files = PredictionFiles(tmp_path / 'all.npz')
    assert files.match(images('x/scene/2.jpg', 'x/scene/1.jpg')) == ['scene/2', 'scene/1']
    assert np.array_equal(files.read('scene/2'), 2 * MAP)
    for name, stack in (
        ('three', np.stack([MAP, 2 * MAP])),
        ('four', np.stack([MAP, 2 * MAP])[:, None]),
    ):
        np.save(tmp_path / f'{name}.npy', stack)
        files = PredictionFiles(tmp_path / f'{name}.npy', depth_scale=2.0)
        assert files.match(images('a.png', 'b.png')) == ['0', '1']
        assert np.array_equal(files.read('1'), MAP)
        with pytest.raises(ValueError, match='2 maps, the data set 3 images'):
            files.match(images('a.png', 'b.png', 'c.png'))


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no prediction'):
        PredictionFiles(tmp_path)
    with pytest.raises(FileNotFoundError, match='do not exist'):
        PredictionFiles(tmp_path / 'no')
    (tmp_path / 'a.txt').write_text('1')
    with pytest.raises(ValueError, match='npy or npz'):
        PredictionFiles(tmp_path / 'a.txt')
    with pytest.raises(ValueError, match='above 0'):
        PredictionFiles(tmp_path, depth_scale=0.0)


@pytest.mark.parametrize('dtype', ['uint16', 'int32', 'int64'])
def test_integers_of_an_array_need_a_scale_too(tmp_path, dtype):
    np.save(tmp_path / 'a.npy', (MAP * 1000).astype(dtype))
    np.savez(tmp_path / 'all.npz', a=(MAP * 1000).astype(dtype))
    with pytest.raises(
        ValueError, match=r'a\.npy holds integers, and neither a\.json beside it nor --depth-scale'
    ):
        PredictionFiles(tmp_path).read('a')
    with pytest.raises(
        ValueError, match=r"all\.npz\['a'\] holds integers, and --depth-scale does not say"
    ):
        PredictionFiles(tmp_path / 'all.npz').read('a')
    assert PredictionFiles(tmp_path / 'all.npz', depth_scale=1000).read('a') == pytest.approx(
        MAP, abs=1e-3
    )
    (tmp_path / 'a.json').write_text(json.dumps(dict(depth_scale=1000)))
    assert PredictionFiles(tmp_path).read('a') == pytest.approx(MAP, abs=1e-3)


@pytest.mark.parametrize(
    'dtype', ['complex64', 'U8', 'S8', 'bool', 'datetime64[s]', 'int8', 'uint8']
)
@pytest.mark.parametrize('scale', [None, 2.0])
def test_what_is_no_depth_is_refused_by_its_type(tmp_path, dtype, scale):
    np.save(tmp_path / 'a.npy', np.rint(MAP).astype('int64').astype(dtype))
    with pytest.raises(ValueError, match=r'a\.npy holds (values of type|8-bit)'):
        PredictionFiles(tmp_path, depth_scale=scale).read('a')


def test_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / 'a.npy', np.array([[dict(x=1)]], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r'a\.npy cannot be read.*Python objects'):
        PredictionFiles(tmp_path).read('a')
    with pytest.raises(ValueError, match=r'a\.npy cannot be read.*Python objects'):
        PredictionFiles(tmp_path / 'a.npy')


def damaged(name, folder):
    """Write a whole file and return its damaged content."""
    np.save(folder / 'whole.npy', MAP)
    np.savez_compressed(folder / 'whole.npz', a=np.random.RandomState(0).rand(40, 40), b=MAP)
    cv2.imwrite(
        str(folder / 'whole.png'),
        np.random.RandomState(0).randint(0, 9999, (40, 40)).astype(np.uint16),
    )
    content = bytearray((folder / f'whole.{name.split("_")[1]}').read_bytes())
    if name.startswith('cut'):
        return content[: len(content) // 2]
    if name.startswith('rotten'):
        content[len(content) // 2] ^= 0xFF
        return content
    return b''


@pytest.mark.parametrize(
    'name', ['cut_npy', 'cut_npz', 'cut_png', 'rotten_npz', 'rotten_png', *EMPTY]
)
def test_a_damaged_file_is_named(tmp_path, name):
    suffix = name.split('_')[1]
    (tmp_path / 'source').mkdir()
    (tmp_path / 'p').mkdir()
    path = tmp_path / f'p/x.{suffix}'
    path.write_bytes(damaged(name, tmp_path / 'source'))
    with pytest.raises(ValueError, match=rf'p/x\.{suffix} cannot be (read|decoded)'):
        PredictionFiles(tmp_path / 'p', depth_scale=1.0).read('x')
    if suffix != 'png':
        with pytest.raises(ValueError, match=rf"p/x\.{suffix}(\['a'\])? cannot be read"):
            PredictionFiles(path).read('a')


def test_an_archive_without_arrays_is_named(tmp_path):
    np.savez(tmp_path / 'none.npz')
    with pytest.raises(ValueError, match=r'none\.npz holds no array'):
        PredictionFiles(tmp_path / 'none.npz')


@pytest.mark.parametrize('scale', [0.0, -1.0, float('nan'), float('inf')])
def test_a_scale_is_positive_and_finite(tmp_path, scale):
    cv2.imwrite(str(tmp_path / 'a.png'), (MAP * 256).astype(np.uint16))
    with pytest.raises(ValueError, match='depth_scale must be above 0 and finite'):
        PredictionFiles(tmp_path, depth_scale=scale)
    (tmp_path / 'a.json').write_text(json.dumps(dict(depth_scale=scale)))
    with pytest.raises(ValueError, match=r'a\.json: depth_scale must be above 0 and finite'):
        PredictionFiles(tmp_path).read('a')


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('{"depth_scale": "256"}', 'got "256"'),
        ('{"depth_scale": true}', 'got true'),
        ('{"depth_scale": [256]}', 'got [256]'),
        ('{}', 'it has no depth_scale'),
        ('[256]', 'it holds a list'),
    ],
)
def test_a_scale_that_is_no_number_is_refused(tmp_path, content, words):
    cv2.imwrite(str(tmp_path / 'a.png'), (MAP * 256).astype(np.uint16))
    (tmp_path / 'a.json').write_text(content)
    with pytest.raises(ValueError, match=rf'a\.json.*{re.escape(words)}'):
        PredictionFiles(tmp_path).read('a')


def test_an_image_that_is_listed_twice_is_named(tmp_path):
    np.save(tmp_path / '1.npy', MAP)
    with pytest.raises(ValueError, match=r'lists /data/a/1\.jpg twice'):
        PredictionFiles(tmp_path).match(images('/data/a/1.jpg', '/data/a/1.jpg'))


def test_a_side_car_with_an_unknown_type_is_named(tmp_path):
    np.save(tmp_path / 'a.npy', MAP)
    (tmp_path / 'a.json').write_text('{"prediction_type": "depthish"}')
    with pytest.raises(ValueError, match=r"a\.json: unknown prediction type 'depthish'"):
        PredictionFiles(tmp_path).stated_type()
