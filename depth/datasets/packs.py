"""Packs: the frames of a data set in a few large files, lossless and quick to decode.

::

    PACK/
    ├── index.json        format, data set, the list it was made from, one entry a sample, name, size and SHA-256 of
    │                     every shard
    ├── shard-0000.bin    records one after another
    └── ...

A record is what a data set reads: a JPEG file as it is; any other image as BGR bytes, each pixel
minus its left neighbour, under zstd; stored depth (16-bit integers or float metres) under zstd.
``tools/dataset_converters/pack.py`` writes packs; every data set on disk reads one that is named as
its ``pack``. A zstd record carries a checksum, a JPEG record's CRC is in the index, so damage is an
error and never a wrong picture.

A pack serves the list that its data set names (``ann_file``, ``split`` and the like), in the list's
order, or refuses: see :func:`packed_samples`.
"""

import functools
import hashlib
import json
import os
import threading
import zlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from depth.integrity import sha256_of
from depth.registry import READERS

from .optional_imports import import_optional
from .transforms.loading import stored_to_metres

if TYPE_CHECKING:
    from .base import BaseDepthDataset

INDEX = 'index.json'
FORMAT = 2
OPEN_SHARDS = 64  # files that a process keeps open
FILE, IMAGE, ARRAY = 'file', 'image', 'array'  # how a record is coded
IMAGE_LEVEL, ARRAY_LEVEL = 1, 3  # of zstd: higher ones are slower to write and hardly smaller


class Record(NamedTuple):
    """Position and coding of one image or depth map in a shard.

    Attributes:
        shard: Number of the file.
        offset: First byte in the file.
        size: Bytes.
        codec: ``FILE``, ``IMAGE`` or ``ARRAY``.
        shape: Of the decoded array; empty for a file.
        dtype: NumPy's name of the decoded type.
        crc: CRC-32 of the bytes; 0 where they carry a checksum of their own.
    """

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
    # Neighbours are alike, so differences compress better. They wrap around 256, and so does the
    # sum that decodes them.
    differences = img.copy()
    differences[:, 1:] -= img[:, :-1]
    return _compress(differences, IMAGE_LEVEL), dict(codec=IMAGE, shape=img.shape, dtype='uint8')


def encode_array(array: np.ndarray) -> tuple[bytes, dict]:
    """Return the record of any array, and what the index says of it."""
    entry = dict(codec=ARRAY, shape=array.shape, dtype=array.dtype.str)
    return _compress(array, ARRAY_LEVEL), entry


def decode(content: bytes, record: Record) -> np.ndarray:
    """Return the image or array of a record.

    Raises:
        ValueError: If the content is damaged.
    """
    if record.codec == FILE:
        if zlib.crc32(content) != record.crc:
            raise ValueError('the checksum does not fit')
        # The writer has checked the file; the same bytes decode to the same picture.
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    stored = np.frombuffer(_decompress(content), record.dtype).reshape(record.shape)
    if record.codec != IMAGE:
        return stored
    return np.add.accumulate(stored, axis=1, dtype=np.uint8)


def read_record(pack: str, record: Record) -> np.ndarray:
    """Read and decode a record of a pack.

    Raises:
        ValueError: If the pack is cut off or damaged there.
    """
    name = shard_name(record.shard)
    content = _open_shard(pack, record.shard).read(record.size, record.offset)
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
    """Return the depth of a packed sample, float32 metres (H, W), by its ``depth_scale``."""
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
        raise FileNotFoundError(
            f'{path} does not exist; tools/dataset_converters/pack.py writes packs'
        )
    try:
        index = json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is no JSON: {error}') from error
    if not isinstance(index, dict):
        raise ValueError(f'{path} is damaged: it holds a {type(index).__name__}; copy it again')
    if index.get('format') != FORMAT:
        raise ValueError(
            f'{path} has format {index.get("format")}, this version reads {FORMAT}; pack the data '
            'again'
        )
    problem = _index_problem(index)
    if problem:
        raise ValueError(f'{path} is damaged: {problem}; copy it or pack the data again')
    for shard in index['shards']:
        file = Path(pack, shard['name'])
        if not file.is_file():
            raise FileNotFoundError(f'{file} does not exist, the pack is incomplete')
        if file.stat().st_size != shard['size']:
            raise ValueError(
                f'{file} has {file.stat().st_size} bytes, {shard["size"]} were written; copy it '
                'again'
            )
    return index


def _index_problem(index: dict) -> str | None:
    """Return what is wrong with the content of an index, None if nothing is."""
    for key, kind in (('dataset', str), ('list', dict), ('samples', list), ('shards', list)):
        if not isinstance(index.get(key), kind):
            return f'{key} is no {kind.__name__}'
    for key, kind in (('ann_file', str), ('sha256', str), ('options', dict)):
        if not isinstance(index['list'].get(key), kind):
            return f'list.{key} is no {kind.__name__}'
    sizes = []
    for number, shard in enumerate(index['shards']):
        # Any other name could lead out of the folder.
        if not isinstance(shard, dict) or shard.get('name') != shard_name(number):
            return f'shard {number} is not called {shard_name(number)}'
        if not isinstance(shard.get('size'), int) or not isinstance(shard.get('sha256'), str):
            return f'shard {number} has no size or sha256'
        sizes.append(shard['size'])
    if not index['samples']:
        return 'it has no samples'
    for number, sample in enumerate(index['samples']):
        problem = _sample_problem(sample, sizes)
        if problem:
            return f'{problem} of sample {number}'
    return None


def _sample_problem(sample: object, sizes: list[int]) -> str | None:
    """Return what is wrong with an entry of an index, None if nothing is.

    Args:
        sample: The entry.
        sizes: Bytes of each shard.
    """
    if not isinstance(sample, dict) or not isinstance(sample.get('img_path'), str):
        return 'there is no img_path'
    scale = sample.get('depth_scale', 1)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not scale > 0:
        return f'depth_scale is {scale!r}, no number above 0,'
    records = dict(packed_image=(FILE, IMAGE))
    if sample.get('depth_path'):
        records['packed_depth'] = (ARRAY,)
    for key, codecs in records.items():
        try:
            record = Record(*sample[key])
            end = record.offset + record.size
            is_inside = record.offset >= 0 < record.size and end <= sizes[record.shard]
        except (KeyError, TypeError, IndexError):
            return f'there is no {key}'
        if not is_inside or record.shard < 0 or record.codec not in codecs:
            return f'{key} is {list(record)}, which lies in no shard or has another codec,'
    return None


def packed_samples(dataset: 'BaseDepthDataset') -> list[tuple[dict, str]]:
    """Return the samples of a data set from its pack, in its list's order, with their sources.

    The pack's own list and order are served where the data set names that list: its file is the
    same byte for byte, or is not there and has the same name. Of another list, which must be there,
    every sample has to be in the pack.

    Args:
        dataset: Its ``pack`` is read; paths become those below its ``data_root``.

    Raises:
        ValueError: If the pack was made from another class, another part of the data set, or lacks
            samples of the list.
    """
    pack, name = dataset.pack, type(dataset).__name__
    index = read_index(pack)
    if index['dataset'] != name:
        raise ValueError(
            f'{pack} holds samples of {index["dataset"]}, not of {name}; name its own data set as '
            'the type'
        )
    samples = [_packed_sample(entry, pack, dataset.data_root) for entry in index['samples']]
    positions = range(len(samples))
    if not _is_same_list(dataset, index):
        positions = _listed_positions(dataset, samples)
    listed = []
    for position in positions:
        # Copied, because a list may name a sample twice.
        source = f'{Path(pack, INDEX)}, sample {position}'
        listed.append((dict(samples[position]), source))
    return listed


def list_of(dataset: 'BaseDepthDataset') -> dict:
    """Return the settings that choose the samples of a data set, with the SHA-256 of its list."""
    ann_file = str(dataset.ann_file or '')
    digest = ''
    if ann_file and Path(ann_file).is_file():
        digest = sha256_of(ann_file)
    return dict(ann_file=Path(ann_file).name, sha256=digest, options=dataset.selection())


def _is_same_list(dataset: 'BaseDepthDataset', index: dict) -> bool:
    """Return whether the data set names the list that the pack was made from.

    Raises:
        ValueError: If another list is named that cannot be compared, or another part of the data
            set.
    """
    made_from, named = index['list'], list_of(dataset)
    for key in made_from['options'].keys() | named['options'].keys():
        packed, selected = made_from['options'].get(key), named['options'].get(key)
        if packed != selected:
            raise ValueError(
                f'{dataset.pack} was made with {key}={packed!r}, the data set has '
                f'{key}={selected!r}; pack that part, or leave pack out'
            )
    # A list on the disk is compared by its content. On a machine that has the pack alone there is
    # none, and the name has to do.
    if named['sha256']:
        return named['sha256'] == made_from['sha256']
    if named['ann_file'] != made_from['ann_file']:
        raise ValueError(
            f'{dataset.pack} was made from the list {made_from["ann_file"]!r}, the data set has '
            f'ann_file={named["ann_file"]!r}, which is not there to be compared; pack that list, '
            f'or put it at {dataset.ann_file!r}'
        )
    return True


def _listed_positions(dataset: 'BaseDepthDataset', samples: list[dict]) -> list[int]:
    """Return where in the pack the samples of the data set's list are."""
    positions = {}
    for position, sample in enumerate(samples):
        positions[_identity(sample, dataset.data_root)] = position
    try:
        listed = [_identity(sample, dataset.data_root) for sample, _ in dataset.find_samples()]
    except FileNotFoundError as error:
        raise ValueError(
            f'{dataset.pack} was made from another list than {dataset.ann_file}, which cannot be '
            f'read without the files that it names: {error}; pack that list'
        ) from error
    if not listed:
        raise ValueError(f'{dataset.ann_file} lists no image with ground truth')
    lacking = [identity for identity in listed if identity not in positions]
    if lacking:
        raise ValueError(
            f'{dataset.pack} lacks {len(lacking)} of the {len(listed)} images of '
            f'{dataset.ann_file}, the first: {lacking[0][0]}; it was made from another list: pack '
            'this one, or leave pack out'
        )
    return [positions[identity] for identity in listed]


def _identity(sample: dict, root: str) -> tuple[str, str]:
    """Return image and depth map below the root, the image without its type, which may differ."""
    image = Path(sample['img_path'])
    return below(image.with_suffix(''), root), below(sample.get('depth_path') or '', root)


def below(path: str | Path, root: str | Path) -> str:
    """Return a path relative to ``root`` if it is below it, else as it is."""
    if path and root and Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    return str(path)


def _packed_sample(entry: dict, pack: str, data_root: str) -> dict:
    """Return the sample of an index entry: the pack's readers, paths for messages and results."""
    sample = dict(entry, pack=str(pack))
    for kind, key in (('image', 'img'), ('depth', 'depth')):
        if f'packed_{kind}' in sample:
            sample[f'{key}_reader'] = f'packed_{kind}'
            sample[f'{key}_path'] = str(Path(data_root, sample[f'{key}_path']))
    return sample


def verify(pack: str | Path) -> list[str]:
    """Compare the SHA-256 of every shard with the index; return what is wrong, in words."""
    problems = []
    for shard in read_index(pack)['shards']:
        path = Path(pack, shard['name'])
        digest = hashlib.sha256()
        with path.open('rb') as file:
            while block := file.read(1 << 24):
                digest.update(block)
        sha256 = digest.hexdigest()
        if sha256 != shard['sha256']:
            problems.append(
                f'{path}: SHA-256 is {sha256}, {shard["sha256"]} was written; copy the file again'
            )
    return problems


def shard_name(number: int) -> str:
    """Return the name of a shard's file."""
    return f'shard-{number:04d}.bin'


class _Shard:
    """An open shard file, closed when neither the cache nor a reading thread holds it any more."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None  # stays None if the file cannot be opened
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, size: int, offset: int) -> bytes:
        """Return bytes of the file."""
        # `pread` moves no position, so threads and forked processes may share the file.
        return os.pread(self._descriptor, size, offset)

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


@functools.lru_cache(maxsize=OPEN_SHARDS)
def _open_shard(pack: str, shard: int) -> _Shard:
    return _Shard(Path(pack, shard_name(shard)))


# Compressors crash when two threads use one at a time, as those of the data doctor would.
_of_thread = threading.local()


def _compressor(level: int) -> Any:
    """Return the compressor of this thread for a level."""
    compressors = _of_thread.__dict__.setdefault('compressors', {})
    if level not in compressors:
        compressors[level] = _zstandard().ZstdCompressor(level=level, write_checksum=True)
    return compressors[level]


def _decompressor() -> Any:
    """Return the decompressor of this thread."""
    if not hasattr(_of_thread, 'decompressor'):
        _of_thread.decompressor = _zstandard().ZstdDecompressor()
    return _of_thread.decompressor


def _zstandard() -> ModuleType:
    return import_optional('zstandard', 'a packed data set')


def _compress(array: np.ndarray, level: int) -> bytes:
    return _compressor(level).compress(np.ascontiguousarray(array))


def _decompress(content: bytes) -> bytes:
    try:
        return _decompressor().decompress(content)
    except _zstandard().ZstdError as error:
        raise ValueError(str(error)) from error
