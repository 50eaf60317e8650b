"""Shards: the frames of a data set as plain tar files, read from a disk, a web server or a store.

::

    FOLDER/
    ├── shards.json         format, data set, depth range; of every shard: name, samples, bytes, SHA-256, CRC-32
    ├── shard-000000.tar    the members of one sample after another
    └── ...

    000000042.json          CRC-32 of what follows, the sample's plain values, coding of its records
    000000042.image.jpg     a JPEG file as it is, or 000000042.image.zst: pixels as in packs
    000000042.depth.zst     stored depth as in packs

The number is that of the sample in its data set. WebDataset groups the members by it, and
:func:`sample_from_members` turns such a group into a sample that any pipeline takes::

    webdataset.WebDataset(urls).map(sample_from_members).map(Compose(pipeline))

Every byte is checked when it is used: the index has the CRC-32 of all metadata of a shard, these
have a checksum of every record. The SHA-256 is for whole files.

Members are ustar: regular files with short names, which every tar program reads. Records are those
of :mod:`depth.datasets.packs`, as fast to decode. Nothing in a shard is executed: members are JSON,
JPEG or arrays of numbers; any other member, and one larger than the limits here, is an error.
``depth pack --format wds`` writes shards, :class:`~depth.datasets.ShardDataset` reads them.
"""

import json
import math
import os
import re
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

from depth.registry import READERS

from .optional_imports import import_optional
from .packs import FILE, Record, decode
from .transforms.loading import stored_to_metres

INDEX = 'shards.json'
FORMAT = 1
BLOCK = 512  # bytes: the unit of a tar file
SUFFIXES = {'json': '.json', FILE: '.jpg', 'zstd': '.zst'}
MAX_INDEX = 1 << 28  # bytes of shards.json: a million shards
MAX_MEMBER = 1 << 28  # bytes of a record in the file
MAX_MEMBERS = 32  # of one sample
MAX_DECODED = 1 << 30  # bytes of a decoded record
# Metadata begins with its checksum: {"crc": "0123abcd", ...
_CRC_PREFIX = '{{"crc": "{:08x}", '
_CRC_BYTES = len(_CRC_PREFIX.format(0))
# Records that are decoded when LoadImage and LoadDepth ask for them; all others at once.
IMAGE, DEPTH = 'image', 'depth'


class ShardError(ValueError):
    """A shard that is missing, cannot be fetched or is damaged; the message names it."""


class DamagedShardError(ShardError):
    """A shard whose content is not what was written; reading it again may help."""


class Shard(NamedTuple):
    """Entry of the index.

    Attributes:
        name: Name of the file in the folder.
        samples: Number of samples in it.
        size: Bytes.
        sha256: Hexadecimal.
        metadata_crc: CRC-32 of the JSON members one after another.
    """

    name: str
    samples: int
    size: int
    sha256: str
    metadata_crc: int


class ShardIndex(NamedTuple):
    """Content of ``shards.json``.

    Attributes:
        dataset: Name of the class that wrote the shards.
        dataset_name: Name of the data set, by which evaluators know it.
        min_depth: Near end of the depth range in metres.
        max_depth: Far end of the depth range in metres.
        depth_scale: Stored integers per metre; None if the depth is stored in metres.
        shards: All files, in the order of the samples.
    """

    dataset: str
    dataset_name: str
    min_depth: float
    max_depth: float
    depth_scale: float | None
    shards: tuple[Shard, ...]

    def to_json(self, made_from: dict) -> str:
        """Return the text of the file; ``made_from`` names the list of the samples."""
        content = dict(self._asdict(), format=FORMAT, list=made_from)
        content['shards'] = [shard._asdict() for shard in self.shards]
        return json.dumps(content)


def parse_index(content: bytes, source: str) -> ShardIndex:
    """Return the index that a ``shards.json`` holds.

    Args:
        content: The file.
        source: Its address, for messages.

    Raises:
        ValueError: If it is no index, one of another format, or an entry makes no sense.
    """
    try:
        index = json.loads(content)
        stored_format = index.get('format')
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f'{source} is no index of shards: {error}') from error
    if stored_format != FORMAT:
        raise ValueError(
            f'{source} has format {stored_format!r}, this version reads {FORMAT}; write the shards '
            'again with depth pack --format wds'
        )
    try:
        shards = tuple(_parse_entry(entry) for entry in index['shards'])
        scale = index['depth_scale']
        parsed = ShardIndex(
            dataset=str(index['dataset']),
            dataset_name=str(index['dataset_name']),
            min_depth=float(index['min_depth']),
            max_depth=float(index['max_depth']),
            depth_scale=None if scale is None else float(scale),
            shards=shards,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{source} is damaged: {type(error).__name__}: {error}') from error
    if not shards:
        raise ValueError(f'{source} lists no shard')
    return parsed


def _parse_entry(entry: dict) -> Shard:
    """Return one shard of an index; its name is a file's in the same folder, nothing else."""
    shard = Shard(
        entry['name'],
        int(entry['samples']),
        int(entry['size']),
        entry['sha256'],
        int(entry['metadata_crc']),
    )
    if not re.fullmatch(r'[\w-][\w.-]*\.tar', shard.name):
        raise ValueError(f'{shard.name!r} is no name of a shard')
    if shard.samples < 1 or shard.size < BLOCK or not re.fullmatch('[0-9a-f]{64}', shard.sha256):
        raise ValueError(f'the entry of {shard.name} is wrong: {shard}')
    return shard


def encode_metadata(values: dict, records: dict[str, dict]) -> bytes:
    """Return the JSON member of a sample, led by the checksum of what follows it.

    Args:
        values: Plain values of the sample.
        records: Coding of each record by its name: ``codec``, ``shape``, ``dtype``, ``crc``.
    """
    body = json.dumps(dict(sample=values, records=records))[1:].encode()
    return _CRC_PREFIX.format(zlib.crc32(body)).encode() + body


def member_name(key: str, record: str, codec: str) -> str:
    """Return the name of a record's member, such as ``000000042.image.jpg``."""
    suffix = SUFFIXES[FILE] if codec == FILE else SUFFIXES['zstd']
    return f'{key}.{record}{suffix}'


def scan_shard(descriptor: int, shard: Shard, source: str) -> np.ndarray:
    """Find the samples of a shard by its headers.

    Args:
        descriptor: The open file.
        shard: Its entry in the index.
        source: Its address, for messages.

    Returns:
        First byte of each sample, and the end of the last one, int64 (samples + 1,).

    Raises:
        DamagedShardError: If the file is no shard, is cut off or is another one than the index
            describes.
    """
    starts: list[int] = []
    offset, last_key, members, crc = 0, None, 0, 0
    while True:
        header = os.pread(descriptor, BLOCK, offset)
        if header == bytes(BLOCK):  # the end of a tar file: blocks of zeros
            break
        try:
            name, size = parse_header(header)
        except ValueError as error:
            raise DamagedShardError(f'{source} is damaged at byte {offset}: {error}') from error
        key = name.partition('.')[0]
        if key != last_key:
            starts.append(offset)
            last_key, members = key, 0
        members += 1
        if members > MAX_MEMBERS:
            raise DamagedShardError(f'{source}: sample {key} has more than {MAX_MEMBERS} members')
        if name.endswith(SUFFIXES['json']):
            crc = zlib.crc32(os.pread(descriptor, size, offset + BLOCK), crc)
        offset += BLOCK + _padded(size)
    if len(starts) != shard.samples:
        raise DamagedShardError(
            f'{source} holds {len(starts)} samples, the index says {shard.samples}; copy it again'
        )
    if crc != shard.metadata_crc:
        raise DamagedShardError(
            f'{source} is damaged, or another version than the index describes: the checksum of '
            'its metadata does not fit'
        )
    starts.append(offset)
    return np.asarray(starts, np.int64)


def parse_header(header: bytes) -> tuple[str, int]:
    """Return name and size of the member that a tar header announces.

    Raises:
        ValueError: If it is none, is damaged, or announces what a shard does not hold: no regular
            file, another type of content, too many bytes.
    """
    if len(header) < BLOCK:
        raise ValueError('the file ends within a header')
    # The checksum counts its own field as eight spaces.
    checksum = sum(header) - sum(header[148:156]) + 8 * ord(' ')
    stored = header[148:156].strip(b'\0 ')
    if not stored.isdigit() or int(stored, 8) != checksum:
        raise ValueError('the checksum of the header does not fit')
    name = header[:100].rstrip(b'\0').decode('ascii', errors='replace')
    if header[156:157] != b'0' or not re.fullmatch(r'\d+(\.\w+)+', name):
        raise ValueError(f'{name!r} is no member of a shard')
    if not name.endswith(tuple(SUFFIXES.values())):
        raise ValueError(f'{name}: members of that type are not read, {_accepted()} are')
    size = int(header[124:136].strip(b'\0 '), 8)
    if size > MAX_MEMBER:
        raise ValueError(f'{name} has {size} bytes, more than the {MAX_MEMBER} of a member')
    return name, size


def read_members(content: bytes) -> dict[str, memoryview]:
    """Return the members of one sample by their names without the key, without copying them.

    Args:
        content: The part of a tar file that holds the sample.

    Raises:
        DamagedShardError: If it is damaged.
    """
    members = {}
    view = memoryview(content)
    offset = 0
    while offset < len(content):
        try:
            name, size = parse_header(content[offset : offset + BLOCK])
        except ValueError as error:
            raise DamagedShardError(f'a header is damaged: {error}') from error
        start = offset + BLOCK
        members[name.partition('.')[2]] = view[start : start + size]
        offset = start + _padded(size)
    if offset != len(content):
        raise DamagedShardError('the last member is cut off')
    return members


def sample_from_members(members: Mapping[str, bytes | memoryview]) -> dict:
    """Return a sample for a pipeline from the members of a shard.

    Image and depth stay coded until ``LoadImage`` and ``LoadDepth`` read them; what else the sample
    has, such as a second view, is decoded.

    Args:
        members: Content by name without the key, as :func:`read_members` and WebDataset give it
            (whose own entries, such as ``__url__``, are ignored).

    Raises:
        DamagedShardError: If a member is missing or damaged.
    """
    values, records = _parse_metadata(bytes(members.get('json', b'')))
    sample = dict(values)
    for name, coding in records.items():
        record = _parse_record(name, coding)
        suffix = member_name('', name, record.codec)[1:]
        if suffix not in members:
            raise DamagedShardError(f'the member {suffix} of the sample is missing')
        content = members[suffix]
        if name in (IMAGE, DEPTH):
            sample[f'sharded_{name}'] = (content, record)
        else:
            # Decoded numbers are a view of read-only bytes, and transforms write into their arrays.
            sample[name] = np.require(_decode(content, record), requirements='W')
    # A reader of the files cannot be used, whatever the metadata say.
    sample.pop('img_reader', None)
    sample.pop('depth_reader', None)
    if 'sharded_image' in sample:
        sample['img_reader'] = 'sharded_image'
    if 'sharded_depth' in sample:
        sample['depth_reader'] = 'sharded_depth'
    elif 'gt_depth' not in sample:
        sample.pop('depth_path', None)  # no file of this machine, whatever the metadata say
    if 'sharded_image' not in sample and 'img' not in sample:
        raise DamagedShardError('the sample has no image')
    if 'img' in sample:  # rendered scenes, which come as arrays
        shape = sample['img'].shape[:2]
        sample.update(img_shape=shape, ori_shape=shape)
        if sample.get('cam_intrinsic') is not None:
            sample['ori_cam_intrinsic'] = sample['cam_intrinsic'].copy()
    return sample


@READERS.register_module(name='sharded_image')
def read_sharded_image(sample: dict) -> np.ndarray:
    """Return the image of a sample, BGR uint8 (H, W, 3)."""
    return _decode(*sample['sharded_image'])


@READERS.register_module(name='sharded_depth')
def read_sharded_depth(sample: dict) -> np.ndarray:
    """Return the depth of a sample, float32 metres (H, W), by its ``depth_scale``."""
    stored = _decode(*sample['sharded_depth'])
    return stored_to_metres(stored, sample['depth_scale'], sample['depth_path'])


def _parse_metadata(content: bytes) -> tuple[dict, dict]:
    """Return plain values and codings of a sample from its JSON member."""
    try:
        metadata = json.loads(content)
        crc = int(metadata['crc'], 16)
        values, records = metadata['sample'], metadata['records']
        is_complete = isinstance(values, dict) and isinstance(records, dict)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedShardError(f'the metadata of the sample cannot be read: {error}') from error
    if not is_complete or crc != zlib.crc32(content[_CRC_BYTES:]):
        raise DamagedShardError('the checksum of the metadata does not fit')
    return values, records


def _parse_record(name: str, coding: dict) -> Record:
    """Return the coding of a record, if it is one that may be decoded."""
    try:
        shape = tuple(int(size) for size in coding['shape'])
        record = Record(0, 0, 0, coding['codec'], shape, coding['dtype'], int(coding['crc']))
        dtype = np.dtype(record.dtype)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedShardError(f'the coding of {name!r} is wrong: {error}') from error
    if dtype.kind not in 'uif' or not re.fullmatch(r'\w+', name):
        raise DamagedShardError(f'{name!r} is no array of numbers but {record.dtype}')
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize > MAX_DECODED:
        raise DamagedShardError(
            f'{name!r} of shape {shape} exceeds the {MAX_DECODED} bytes of a record'
        )
    return record


def _decode(content: bytes | memoryview, record: Record) -> np.ndarray:
    """Return the array of a record.

    Raises:
        DamagedShardError: If it is damaged.
    """
    try:
        if record.codec != FILE:
            _check_frame(content, record)
        array = decode(content, record)
    except (ValueError, cv2.error) as error:
        raise DamagedShardError(f'a record is damaged: {error}') from error
    if array is None:
        raise DamagedShardError('a record is no image')
    return array


def _check_frame(content: bytes | memoryview, record: Record) -> None:
    """Raise ValueError if zstd would allocate another number of bytes than the array has."""
    zstandard = import_optional('zstandard', 'a sharded data set', extra='shards')
    expected = math.prod(record.shape) * np.dtype(record.dtype).itemsize
    try:
        size = zstandard.frame_content_size(content)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if size != expected:
        raise ValueError(f'it announces {size} bytes, its shape has {expected}')
    if frame_checksum(content) != record.crc:
        raise ValueError('its checksum is not that of the metadata')


def frame_checksum(content: bytes | memoryview) -> int:
    """Return the checksum that ends a zstd frame, which decompression compares with the content."""
    return int.from_bytes(content[-4:], 'little')


def _padded(size: int) -> int:
    """Return the bytes that a member's content takes: whole blocks."""
    return -(-size // BLOCK) * BLOCK


def _accepted() -> str:
    return ', '.join(SUFFIXES.values())
