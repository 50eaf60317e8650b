"""Writing a pack, see :mod:`depth.datasets.packs`."""

import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from depth.atomic_write import write_atomically, write_error
from depth.datasets.base import BaseDepthDataset
from depth.datasets.jpeg import entropy_error, is_jpeg
from depth.datasets.packs import (
    FORMAT,
    INDEX,
    Record,
    below,
    decode,
    encode_array,
    encode_file,
    encode_image,
    list_of,
    shard_name,
)
from depth.datasets.transforms.loading import load_depth, load_image, read_stored
from depth.datasets.workers import prepare_worker

# Keys that a data set adds by itself, left out where they have the data set's value.
OWN_KEYS = ('listed_in', 'dataset', 'min_depth', 'max_depth', 'depth_scale')
# Keys that do not apply to a pack: readers of the original files, and the position in the list.
READ_KEYS = ('img_reader', 'depth_reader', 'sample_idx')
OWN_UNIT = 'depth_reader_of_files'  # name of the reader that knew the unit, where the files had one
# Files of a pack, or of tar shards, also under their temporary names.
_OWN_FILE = re.compile(r'\.?(shard-\d+\.bin|shard-\d+\.tar|index\.json|shards\.json)(\.\d+\.tmp)?')
# Of a worker process: function that encodes sample i.
_encode_number: Callable[[int], tuple[dict, dict]] | None = None


def write_pack(
    dataset: BaseDepthDataset,
    folder: str | Path,
    shard_size: int = 1 << 30,
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> dict:
    """Write every sample of a data set; the folder appears when it is complete.

    Every record is decoded again and compared with what the data set reads before it counts as
    written.

    Args:
        dataset: Data set on disk; its pipeline does not matter.
        folder: The pack; it must not exist yet.
        shard_size: A new shard is begun where one would become larger, in bytes.
        workers: Processes that read and encode; 0: this one.
        progress: Receives the number of written samples and of all.

    Returns:
        The index.

    Raises:
        FileExistsError: If the folder exists, or ``<folder>.part`` with files of somebody else.
        OSError: If a file cannot be written; the message names it and the free space, and nothing
            stays behind.
        ValueError: If a sample cannot be read, a record is not what was read, or the data set is a
            part of its list.
    """
    folder = Path(folder)
    if dataset._indices is not None:
        raise ValueError(
            f'a pack holds the whole list, the data set has indices={dataset._indices!r}; pack it '
            'without, and give indices to the data set that reads the pack'
        )
    with complete_folder(folder) as unfinished:
        return _write_files(dataset, unfinished, shard_size, workers, progress)


@contextlib.contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder its name in one step after the block, so that a visible one is complete.

    Yields:
        The path under which the block fills it.

    Raises:
        FileExistsError: If the folder exists, or ``<folder>.part`` with files of somebody else.
    """
    if folder.exists():
        raise FileExistsError(f'{folder} exists already; remove it or name another')
    unfinished = folder.with_name(f'{folder.name}.part')
    _remove_unfinished(unfinished)
    try:
        yield unfinished
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_unfinished(folder: Path) -> None:
    """Remove what a killed process has left of a pack.

    Raises:
        FileExistsError: If there is anything else under this name.
    """
    if not os.path.lexists(folder):
        return
    foreign_paths = [folder]
    if folder.is_dir() and not folder.is_symlink():
        foreign_paths = [path for path in folder.iterdir() if not _OWN_FILE.fullmatch(path.name)]
    if foreign_paths:
        raise FileExistsError(
            f'{foreign_paths[0]} is no file of a pack, so the folder {folder}, in which the pack '
            'would be written, cannot be removed; move it away or name another pack'
        )
    shutil.rmtree(folder)


def _write_files(
    dataset: BaseDepthDataset,
    folder: Path,
    shard_size: int,
    workers: int,
    progress: Callable[[int, int], None],
) -> dict:
    """Write shards and index into a new folder and return the index."""
    samples = []
    with _Shards(folder, shard_size) as shards:
        encoded = encoded_samples(dataset, encode_sample, workers)
        for number, (sample, records) in enumerate(encoded, start=1):
            for key, (content, entry) in records.items():
                sample[key] = shards.add(sample[_path_key(key)], content, entry)
            samples.append(sample)
            progress(number, len(dataset))
    index = dict(
        format=FORMAT,
        dataset=type(dataset).__name__,
        list=list_of(dataset),
        samples=samples,
        shards=shards.complete,
    )
    write_atomically(folder / INDEX, json.dumps(index))
    return index


class _Shards:
    """The files of a pack, written one after another; what several samples share is written once.

    Args:
        folder: Receives them.
        limit: A new one is begun where one would become larger, in bytes.

    Attributes:
        complete: Name, size and hash of the files that are complete: all of them after the ``with``
            block.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.complete: list[dict] = []
        self.records: dict[tuple, Record] = {}

    def __enter__(self) -> '_Shards':
        """Begin the first file."""
        self._begin()
        return self

    def __exit__(self, error_type: type | None, *_: object) -> None:
        """End the last file; after an error its folder is of no use to anybody."""
        if error_type is None:
            self._end()
        else:
            with contextlib.suppress(OSError):  # it would write what the disk did not take before
                self.file.close()

    # Not through `atomic_open`: what is atomic here is the folder, and an error of a sample is not
    # one of the shard.
    def _begin(self) -> None:
        self.path = self.folder / shard_name(len(self.complete))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.file, self.hash, self.size = self.path.open('wb'), hashlib.sha256(), 0
        except OSError as error:
            raise write_error(self.path, error) from error

    def _end(self) -> None:
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
        except OSError as error:
            raise write_error(self.path, error) from error
        self.complete.append(
            dict(name=self.path.name, size=self.size, sha256=self.hash.hexdigest())
        )

    def add(self, path: str, content: bytes, entry: dict) -> Record:
        """Return the record of a file's content, written now or for an earlier sample."""
        key = (path, hashlib.sha256(content).digest())
        if key not in self.records:
            if self.size and self.size + len(content) > self.limit:
                self._end()
                self._begin()
            self.records[key] = Record(
                shard=len(self.complete), offset=self.size, size=len(content), **entry
            )
            try:
                self.file.write(content)
            except OSError as error:
                raise write_error(self.path, error) from error
            self.hash.update(content)
            self.size += len(content)
        return self.records[key]


def _path_key(record_key: str) -> str:
    return dict(packed_image='img_path', packed_depth='depth_path')[record_key]


def encoded_samples(
    dataset: Dataset, encode: Callable[[Dataset, int], tuple[dict, dict]], workers: int
) -> Iterator[tuple[dict, dict]]:
    """Yield samples and their records in order; a few are under way, so memory is bounded.

    Args:
        dataset: The data set.
        encode: Function of the data set and the number of a sample.
        workers: Processes that encode; 0: this one.
    """
    encode_number = functools.partial(encode, dataset)
    if workers < 1:
        yield from map(encode_number, range(len(dataset)))
        return
    # Spawned, not forked: a fork of a process with OpenCV's threads may wait for ever.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(
        workers, context, initializer=_start_worker, initargs=(encode_number,)
    ) as pool:
        # `map` alone would hold the encoded content of all samples that the writer has not taken.
        numbers = iter(range(len(dataset)))
        while batch := list(islice(numbers, 32 * workers)):
            yield from pool.map(_encode, batch, chunksize=8)


def _start_worker(encode_number: Callable[[int], tuple[dict, dict]]) -> None:
    # Sent once per process; as an argument of `_encode` it would be pickled for every sample.
    global _encode_number
    prepare_worker(0)
    _encode_number = encode_number


def _encode(index: int) -> tuple[dict, dict]:
    return _encode_number(index)


def encode_sample(dataset: BaseDepthDataset, index: int) -> tuple[dict, dict]:
    """Return sample ``index`` in plain values, and its records as (bytes, index entry)."""
    sample = dataset.add_details(dataset.get_data_info(index))
    records = dict(packed_image=encode_image_file(sample))
    if sample.get('depth_path'):
        records['packed_depth'] = _encode_depth(sample)
    defaults = dataset.complete({}, '')
    entry = {}
    for key, value in sample.items():
        is_default = key in OWN_KEYS and value == defaults.get(key)
        if key not in READ_KEYS and not is_default:
            entry[key] = plain(value)
    entry.pop('listed_in', None)
    if sample.get('depth_reader'):
        entry[OWN_UNIT] = sample['depth_reader']
    for key in ('img_path', 'depth_path'):
        if entry.get(key):
            entry[key] = below(entry[key], dataset.data_root)
    return entry, records


def encode_image_file(sample: dict) -> tuple[bytes, dict]:
    """Return the record of a sample's image, and what the index says of it.

    Raises:
        ValueError: If the image is damaged.
    """
    img = load_image(sample)
    path = Path(sample['img_path'])
    content = b''
    if not sample.get('img_reader'):
        content = path.read_bytes()
    # A JPEG is kept as it is: it is smaller than its pixels as PNG, and decodes to the same ones.
    if is_jpeg(content):
        damage = entropy_error(content)
        if damage:
            raise ValueError(
                f'image {path} is a damaged JPEG file: {damage}; copy or unpack it again'
            )
        content, entry = encode_file(content)
    else:
        content, entry = encode_image(img)
    _check(content, entry, img, path)
    return content, entry


def _encode_depth(sample: dict) -> tuple[bytes, dict]:
    # A reader returns metres. All other files keep their integers, and `depth_scale` its meaning.
    stored = load_depth(sample) if sample.get('depth_reader') else read_stored(sample['depth_path'])
    content, entry = encode_array(stored)
    _check(content, entry, stored, Path(sample['depth_path']))
    return content, entry


def _check(content: bytes, entry: dict, expected: np.ndarray, path: Path) -> None:
    """Raise ValueError if a record does not decode to what it was made from, bit by bit."""
    decoded = decode(content, Record(0, 0, len(content), **entry))
    # `equal_nan` fails for integers, which have no NaN.
    is_float = expected.dtype.kind == 'f'
    is_equal = np.array_equal(decoded, expected, equal_nan=is_float)
    if decoded.dtype != expected.dtype or not is_equal:
        raise ValueError(f'{path} does not come back from its record as it was read')


def plain(value: object) -> object:
    """Return a value that JSON can hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
