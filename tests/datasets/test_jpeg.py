"""Damaged JPEG files are refused, whole ones are not, and rotations are ignored and said."""

import io
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from depth.datasets.jpeg import entropy_error, exif_orientation, structure_error
from depth.datasets.scenes import render_scene
from depth.datasets.transforms import loading
from depth.datasets.transforms.loading import read_image
from tests.shared import SAMPLES, needs_samples

OPTIONS = [
    dict(quality=75),
    dict(quality=95, optimize=True),
    dict(progressive=True),
    dict(restart_marker_rows=1),
    dict(restart_marker_blocks=5),
    dict(subsampling=0),
]


def encode(array, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, 'JPEG', **options)
    return file.getvalue()


@pytest.fixture(scope='module')
def picture():
    """A rendered room, RGB (96, 128, 3)."""
    return render_scene('rooms', seed=0, index=0, image_size=(96, 128))['img'][..., ::-1].copy()


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_whole_files_are_whole(picture, options):
    grey_end = picture.copy()
    grey_end[48:] = 128  # as a decoder fills what lacks
    for array in (
        picture,
        picture[..., 0],
        picture[:37, :51],
        grey_end,
        np.full_like(picture, 128),
    ):
        content = encode(np.ascontiguousarray(array), **options)
        assert entropy_error(content) == ''
        assert entropy_error(content + bytes(64)) == ''  # some cameras pad their files


@needs_samples
def test_real_photographs_are_whole():
    paths = sorted(SAMPLES.rglob('*.jpg'))
    assert paths
    for path in paths:
        assert entropy_error(path.read_bytes()) == '', path


def cut_in_half(content):
    return content[: len(content) // 2]


def half_with_an_end_mark(content):
    return content[: len(content) // 2] + b'\xff\xd9'


def hole_of_zeros(content):
    middle = len(content) // 2
    return content[:middle] + bytes(400) + content[middle + 400 :]


def random_bytes(content):
    middle = len(content) // 2
    noise = np.random.default_rng(0).bytes(800)
    return content[:middle] + noise + content[middle + 800 :]


def random_start(content):
    return content[:3] + np.random.default_rng(0).bytes(100) + content[103:]


@pytest.mark.parametrize(
    'damage',
    [cut_in_half, half_with_an_end_mark, hole_of_zeros, random_bytes, random_start],
    ids=lambda damage: damage.__name__,
)
@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_damage_is_refused_by_the_loader(picture, damage, options, tmp_path):
    path = tmp_path / 'image.png'  # whatever it is called
    path.write_bytes(damage(encode(picture, **dict(options, quality=95))))
    with pytest.raises(ValueError, match=r'image\.png is a damaged JPEG file: .*copy or unpack'):
        read_image(path)


def test_data_after_the_last_pixel_are_found(picture):
    content = encode(picture, quality=90)
    taller = encode(np.concatenate([picture, picture]), quality=90)
    frame = content.find(b'\xff\xc0')
    # The compressed data of a picture twice as high, under the header of this one.
    mixed = taller[: frame + 5] + content[frame + 5 : frame + 7] + taller[frame + 7 :]
    assert structure_error(mixed) == ''
    assert 'go on after the last pixel' in entropy_error(mixed)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_rotation_is_ignored_and_said(picture, orientation, tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(picture, exif=exif)
    assert exif_orientation(content) == orientation
    paths = [tmp_path / 'one.jpg', tmp_path / 'two.jpg']
    for path in paths:
        path.write_bytes(content)
    monkeypatch.setattr(loading, '_shown_warnings', set())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        images = [read_image(path) for path in paths]
    expected = cv2.imdecode(np.frombuffer(encode(picture), np.uint8), cv2.IMREAD_COLOR)
    assert all(np.array_equal(img, expected) for img in images)
    texts = [str(warning.message) for warning in said]
    assert len(texts) == (orientation != 1)  # once in a process
    assert all(
        f'one.jpg has EXIF orientation {orientation}' in text and 'not applied' in text
        for text in texts
    )
