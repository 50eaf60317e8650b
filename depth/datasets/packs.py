"""Packs: the frames of a data set in a few large files, lossless and quick to decode.

::

    PACK/
    ├── index.json        format, data set, one entry a sample, name, size and SHA-256 of every shard
    ├── shard-0000.bin    records one after another
    └── ...

A record is what a data set reads: a JPEG file as it is; any other image as BGR bytes, each pixel minus its left
neighbour, under zstd; stored depth (16-bit integers or float metres) under zstd. ``tools/dataset_converters/pack.py``
writes packs; every data set on disk reads one that is named as its ``pack``. A zstd record carries a checksum, a JPEG
record's CRC is in the index, so damage is an error and never a wrong picture.
"""

import functools
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import cv2
import numpy as np

from depth.registry import READERS

from .optional import import_optional
from .transforms.loading import stored_to_metres

INDEX = 'index.json'
FORMAT = 1
FILE, IMAGE, ARRAY = 'file', 'image', 'array'  # how a record is coded
IMAGE_LEVEL, ARRAY_LEVEL = 1, 3  # of zstd: higher ones are slower to write and hardly smaller


class Record(NamedTuple):
    """Where one image or depth map is and how it is coded; ``crc`` is 0 where the record has its own checksum."""

    shard: int
    offset: int
    size: int
    codec: str
    shape: tuple[int, ...]
    dtype: str
    crc: int = 0


def encode_file(content: bytes) -> tuple[bytes, dict]:
    """Return the record of an image file that is kept as it is, and what the index says of it."""
    return content, dict(codec=FILE, shape=(), dtype='uint8', crc=zlib.crc32(content))


def encode_image(img: np.ndarray) -> tuple[bytes, dict]:
    """Return the record of an image (H, W, 3), uint8, and what the index says of it."""
    differences = img.copy()
    differences[:, 1:] -= img[:, :-1]
    return _compress(differences, IMAGE_LEVEL), dict(codec=IMAGE, shape=img.shape, dtype='uint8')


def encode_array(array: np.ndarray) -> tuple[bytes, dict]:
    """Return the record of any array, and what the index says of it."""
    return _compress(array, ARRAY_LEVEL), dict(codec=ARRAY, shape=array.shape, dtype=array.dtype.str)


def decode(content: bytes, record: Record) -> np.ndarray:
    """Return the image or array of a record.

    Raises:
        ValueError: If the content is damaged.
    """
    if record.codec == FILE:
        if zlib.crc32(content) != record.crc:
            raise ValueError('the checksum does not fit')
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    stored = np.frombuffer(_decompress(content), record.dtype).reshape(record.shape)
    return np.add.accumulate(stored, axis=1, dtype=np.uint8) if record.codec == IMAGE else stored


def read_record(pack: str, record: Record) -> np.ndarray:
    """Read and decode a record of a pack.

    Raises:
        ValueError: If the pack is cut off or damaged there.
    """
    name = shard_name(record.shard)
    content = os.pread(_open(pack, record.shard, os.getpid()), record.size, record.offset)
    try:
        return decode(content, record)
    except ValueError as error:
        raise ValueError(
            f'{Path(pack, name)} is damaged at byte {record.offset}: {error}; '
            f'check it with tools/dataset_converters/pack.py --verify {pack}'
        ) from error


@READERS.register_module(name='packed_image')
def read_packed_image(sample: dict) -> np.ndarray:
    """Return the image of a packed sample, BGR uint8 (H, W, 3)."""
    return read_record(sample['pack'], Record(*sample['packed_image']))


@READERS.register_module(name='packed_depth')
def read_packed_depth(sample: dict) -> np.ndarray:
    """Return the depth of a packed sample, float32 metres (H, W); integers are divided by ``depth_scale``."""
    stored = read_record(sample['pack'], Record(*sample['packed_depth']))
    return stored_to_metres(stored, sample['depth_scale'], sample['depth_path'])


def read_index(pack: str | Path) -> dict:
    """Return the index of a pack whose shards are there, in their sizes.

    Raises:
        FileNotFoundError: If the index or a shard is missing.
        ValueError: If the folder holds another format, or a shard has another size.
    """
    path = Path(pack, INDEX)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; tools/dataset_converters/pack.py writes packs')
    try:
        index = json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
    if index.get('format') != FORMAT:
        raise ValueError(f'{path} has format {index.get("format")}, this version reads {FORMAT}; pack the data again')
    for shard in index['shards']:
        file = Path(pack, shard['name'])
        if not file.is_file():
            raise FileNotFoundError(f'{file} does not exist, the pack is incomplete')
        if file.stat().st_size != shard['size']:
            raise ValueError(f'{file} has {file.stat().st_size} bytes, {shard["size"]} were written; copy it again')
    return index


def packed_samples(pack: str | Path, data_root: str | Path, name: str) -> Iterator[tuple[dict, str]]:
    """Yield the samples of a pack and where they are listed, with their names below ``data_root``.

    Raises:
        ValueError: If the pack was made from another class than ``name``.
    """
    index = read_index(pack)
    if index['dataset'] != name:
        raise ValueError(
            f'{pack} holds samples of {index["dataset"]}, not of {name}; name its own data set as the type'
        )
    for number, entry in enumerate(index['samples']):
        sample = dict(entry, pack=str(pack))
        for kind, key in (('image', 'img'), ('depth', 'depth')):
            if f'packed_{kind}' in sample:
                sample[f'{key}_reader'] = f'packed_{kind}'
                sample[f'{key}_path'] = str(Path(data_root, sample[f'{key}_path']))
        yield sample, f'{Path(pack, INDEX)}, sample {number}'


def verify(pack: str | Path) -> list[str]:
    """Compare the SHA-256 of every shard with the index; return what is wrong, in words."""
    problems = []
    for shard in read_index(pack)['shards']:
        path = Path(pack, shard['name'])
        digest = hashlib.sha256()
        with path.open('rb') as file:
            while block := file.read(1 << 24):
                digest.update(block)
        found = digest.hexdigest()
        if found != shard['sha256']:
            problems.append(f'{path}: SHA-256 is {found}, {shard["sha256"]} was written; copy the file again')
    return problems


def shard_name(number: int) -> str:
    """Return the name of a shard's file."""
    return f'shard-{number:04d}.bin'


@functools.lru_cache(maxsize=256)
def _open(pack: str, shard: int, process: int) -> int:
    """Return a file descriptor; each process opens its own, pread moves no position."""
    return os.open(Path(pack, shard_name(shard)), os.O_RDONLY)


@functools.lru_cache(maxsize=4)
def _compressor(process: int, level: int):
    """Return the compressor of a process; it must not be shared."""
    return _zstandard().ZstdCompressor(level=level, write_checksum=True)


@functools.lru_cache(maxsize=2)
def _decompressor(process: int):
    """Return the decompressor of a process; it must not be shared."""
    return _zstandard().ZstdDecompressor()


def _zstandard() -> ModuleType:
    return import_optional('zstandard', 'a packed data set')


def _compress(array: np.ndarray, level: int) -> bytes:
    return _compressor(os.getpid(), level).compress(np.ascontiguousarray(array))


def _decompress(content: bytes) -> bytes:
    try:
        return _decompressor(os.getpid()).decompress(content)
    except _zstandard().ZstdError as error:
        raise ValueError(str(error)) from error
