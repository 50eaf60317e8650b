import json
import zipfile

import cv2
import numpy as np
import pytest

from depth.evaluation import kitti_submission as submission
from depth.evaluation.kitti_submission import (
    average_depth,
    check_archive,
    encode_depth,
    find_predictions,
    pack_submission,
    read_prediction,
)

ALL_NAMES, FULL_SIZE = submission.NAMES, submission.SIZE


@pytest.fixture(autouse=True)
def few_and_small(monkeypatch):
    """Three test images of 8x4 instead of 500 of 1216x352."""
    monkeypatch.setattr(submission, 'NUM_IMAGES', 3)
    monkeypatch.setattr(submission, 'NAMES', submission.NAMES[:3])
    monkeypatch.setattr(submission, 'SIZE', (8, 4))


def test_the_names_are_those_of_the_development_kit():
    assert (len(ALL_NAMES), ALL_NAMES[0], ALL_NAMES[-1]) == (
        500,
        '0000000000.png',
        '0000000499.png',
    )
    assert FULL_SIZE == (1216, 352)


def write(folder, depths, prefix='', suffix='.png', scale=256):
    folder.mkdir(exist_ok=True)
    for index, depth in enumerate(depths):
        array = np.full((4, 8), depth, np.float32)
        path = folder / f'{prefix}{index:010d}{suffix}'
        if suffix == '.npy':
            np.save(path, array)
        else:
            cv2.imwrite(str(path), np.rint(array * scale).astype(np.uint16))
    return folder


def stored(path):
    with zipfile.ZipFile(path) as archive:
        return {
            name: cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), -1)
            for name in archive.namelist()
        }


def test_one_model_is_packed_into_the_root_with_256_a_metre(tmp_path):
    notes = pack_submission([write(tmp_path / 'a', [10, 12.5, 20])], tmp_path / 'out/s.zip')
    maps = stored(tmp_path / 'out/s.zip')
    assert sorted(maps) == ['0000000000.png', '0000000001.png', '0000000002.png']
    assert [int(maps[name][0, 0]) for name in sorted(maps)] == [2560, 3200, 5120]
    assert all(array.dtype == np.uint16 for array in maps.values())
    assert check_archive(tmp_path / 'out/s.zip') == ([], notes)
    assert notes == ['median depth 12.50 m over 3 images']
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['s.zip']


def test_names_of_written_predictions_and_their_side_car_scale_are_understood(tmp_path):
    folder = write(tmp_path / 'a', [10, 10, 10], prefix='data_kitti_benchmark_test_', scale=1000)
    for path in list(folder.iterdir()):
        path.with_suffix('.json').write_text(json.dumps(dict(depth_scale=1000.0)))
    pack_submission([folder], tmp_path / 's.zip')
    assert stored(tmp_path / 's.zip')['0000000000.png'][0, 0] == 2560


def test_the_average_of_several_models(tmp_path):
    models = [
        write(tmp_path / 'a', [10, 10, 10]),
        write(tmp_path / 'b', [20, 20, 20], suffix='.npy'),
        write(tmp_path / 'c', [40, 40, 40]),
    ]

    def first(**kwargs):
        pack_submission(models, tmp_path / 's.zip', **kwargs)
        return stored(tmp_path / 's.zip')['0000000000.png'][0, 0] / 256

    assert first() == pytest.approx(70 / 3, abs=1 / 512)
    assert first(weights=[2, 1, 1]) == pytest.approx(20)
    assert first(weights=[200, 100, 100]) == pytest.approx(20)  # weights have no unit
    assert first(log_depth=True) == pytest.approx(20)  # the geometric mean of 10, 20, 40
    assert first(weights=[1, 2, 1], log_depth=True) == pytest.approx(20)
    assert first(weights=[2, 1, 1], log_depth=True) == pytest.approx(
        10**0.5 * 20**0.25 * 40**0.25, abs=1 / 512
    )


def test_models_without_a_value_at_a_pixel_do_not_count_there():
    one, two = np.array([[10.0, 0, 0]], np.float32), np.array([[30.0, 30, 0]], np.float32)
    for log_depth, both in ((False, 20.0), (True, 300**0.5)):
        assert average_depth([one, two], log_depth=log_depth)[0] == pytest.approx([both, 30, 0])
    assert average_depth([one, two], weights=[3, 1])[0] == pytest.approx([15, 30, 0])


def test_what_is_there_never_becomes_none():
    assert encode_depth(np.array([0, 1e-4, 1.0, 300])).tolist() == [0, 1, 256, 65535]


def test_packing_twice_gives_the_same_bytes(tmp_path):
    folder = write(tmp_path / 'a', [10, 11, 12])
    for name in ('1.zip', '2.zip'):
        pack_submission([folder], tmp_path / name)
    assert (tmp_path / '1.zip').read_bytes() == (tmp_path / '2.zip').read_bytes()


def test_missing_doubled_and_foreign_predictions_are_named(tmp_path):
    folder = write(tmp_path / 'a', [10, 11])
    with pytest.raises(FileNotFoundError, match=r'2 of 3 predictions; missing: 0000000002\.png'):
        find_predictions(folder)
    write(folder, [10, 11, 12])
    write(folder, [10], prefix='other_')
    with pytest.raises(ValueError, match=r'both are predictions of 0000000000\.png'):
        find_predictions(folder)
    (folder / 'other_0000000000.png').rename(folder / '0000000700.png')
    with pytest.raises(ValueError, match=r'0000000700\.png is no prediction of test image'):
        find_predictions(folder)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        find_predictions(tmp_path / 'nowhere')


@pytest.mark.parametrize(
    ('depth', 'scale', 'message'),
    [(3.9, 1, r'median depth of 0\.01\d+ m is no street'), (200, 256, 'is no street')],
)
def test_a_wrong_scale_is_refused_and_no_archive_left(tmp_path, depth, scale, message):
    with pytest.raises(ValueError, match=message):
        pack_submission([write(tmp_path / 'a', [depth] * 3, scale=scale)], tmp_path / 's.zip')
    assert not list(tmp_path.glob('s.zip*'))


def test_another_size_is_refused(tmp_path):
    folder = write(tmp_path / 'a', [10] * 3)
    cv2.imwrite(str(folder / '0000000001.png'), np.full((4, 9), 2560, np.uint16))
    with pytest.raises(ValueError, match=r'0000000001\.png has size 9x4, expected 8x4'):
        pack_submission([folder], tmp_path / 's.zip')


def test_unusable_files_are_named(tmp_path):
    for name, array, message in (
        ('8bit.png', np.zeros((4, 8), np.uint8), 'uint8'),
        ('colour.png', np.zeros((4, 8, 3), np.uint16), 'one channel'),
    ):
        cv2.imwrite(str(tmp_path / name), array)
        with pytest.raises(ValueError, match=message):
            read_prediction(tmp_path / name)
    np.save(tmp_path / 'nan.npy', np.array([[np.nan]]))
    with pytest.raises(ValueError, match='NaN'):
        read_prediction(tmp_path / 'nan.npy')
    (tmp_path / 'x.npz').write_bytes(b'x')
    with pytest.raises(ValueError, match=r'x\.npz cannot be read'):
        read_prediction(tmp_path / 'x.npz')


@pytest.mark.parametrize('weights', [[1], [1, 0], [1, -1], [1, 2, 3]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match='2 models need 2 positive weights'):
        average_depth([np.ones((1, 1)), np.ones((1, 1))], weights)


def test_foreign_archives_are_judged(tmp_path):
    png = cv2.imencode('.png', np.full((4, 8), 2560, np.uint16))[1].tobytes()
    with zipfile.ZipFile(tmp_path / 'nested.zip', 'w') as archive:
        for index in range(3):
            archive.writestr(f'results/{index:010d}.png', png)
    problems, _ = check_archive(tmp_path / 'nested.zip')
    assert any('root of the zip' in problem for problem in problems)
    assert any('3 of 3 files missing' in problem for problem in problems)
    with zipfile.ZipFile(tmp_path / 'bytes.zip', 'w') as archive:
        for index in range(3):
            archive.writestr(
                f'{index:010d}.png',
                cv2.imencode('.png', np.full((4, 8), 10, np.uint8))[1].tobytes(),
            )
    assert 'uint8' in check_archive(tmp_path / 'bytes.zip')[0][0]
    (tmp_path / 'no.zip').write_bytes(b'no zip')
    assert 'no readable zip' in check_archive(tmp_path / 'no.zip')[0][0]


def test_holes_and_saturation_are_told(tmp_path):
    folder = write(tmp_path / 'a', [10] * 3)
    array = np.full((4, 8), 2560, np.uint16)
    array[0, :2], array[1, :3] = 0, 65535
    cv2.imwrite(str(folder / '0000000001.png'), array)
    notes = ' '.join(pack_submission([folder], tmp_path / 's.zip'))
    assert '2 pixels have no prediction' in notes
    assert '3 pixels are at the farthest' in notes


@pytest.mark.parametrize('suffix', ['png', 'npy', 'npz'])
def test_a_prediction_that_is_cut_off_is_no_prediction(tmp_path, suffix):
    """OpenCV fills what a PNG lacks with zeros, which would be submitted as "no prediction"."""
    path, depth = tmp_path / f'a.{suffix}', 1 + 99 * np.random.RandomState(0).rand(40, 40)
    if suffix == 'png':
        cv2.imwrite(str(path), encode_depth(depth))
    elif suffix == 'npy':
        np.save(path, depth)
    else:
        np.savez_compressed(path, depth)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf'a\.{suffix} cannot be (read|decoded)'):
        read_prediction(path)


def test_a_side_car_that_states_no_scale_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), encode_depth(np.ones((4, 8))))
    (tmp_path / 'a.json').write_text('{"scale": 256}')
    with pytest.raises(ValueError, match=r'a\.json should be'):
        read_prediction(tmp_path / 'a.png')
