"""Writing shards, see :mod:`depth.datasets.shards`."""

import hashlib
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from depth.atomic_write import write_atomically
from depth.datasets.base import BaseDepthDataset
from depth.datasets.packs import below, encode_array, encode_image, list_of
from depth.datasets.shards import (
    BLOCK,
    DEPTH,
    IMAGE,
    INDEX,
    MAX_MEMBER,
    Shard,
    ShardIndex,
    encode_metadata,
    frame_checksum,
    member_name,
    parse_index,
)
from depth.integrity import sha256_of

from .pack_writer import complete_folder, encode_image_file, encode_sample, encoded_samples, plain

# Keys that a data set sets anew for every sample it gives.
GIVEN_KEYS = ('sample_idx', 'rng', 'dataset', 'min_depth', 'max_depth', 'depth_scale')
SHAPE_KEYS = ('img_shape', 'ori_shape', 'ori_cam_intrinsic')  # follow from the image


def write_shards(
    dataset: Dataset,
    folder: str | Path,
    shard_size: int = 1 << 28,
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> ShardIndex:
    """Write every sample of a data set into tar files; the folder appears when it is complete.

    A data set on disk gives its files as a pack keeps them, and a second view if it has one; every
    record is decoded again and compared. Of any other data set, such as a rendered one, the arrays
    of its samples are written. The same samples give the same bytes. A shard is in memory until it
    is complete.

    Args:
        dataset: Data set whose samples are dicts; one on disk of any pipeline, another without.
        folder: Folder of the shards; it must not exist yet.
        shard_size: A new shard is begun where one would become larger, in bytes.
        workers: Processes that read and encode; 0: this one.
        progress: Receives the number of written samples and of all.

    Returns:
        The index.

    Raises:
        FileExistsError: If the folder exists.
        OSError: If a file cannot be written; nothing stays behind.
        ValueError: If a sample cannot be read or holds no image, or the data set is empty.
    """
    on_disk = isinstance(dataset, BaseDepthDataset)
    with complete_folder(Path(folder)) as unfinished:
        shards: list[Shard] = []
        members: list[bytes] = []
        size = samples = crc = 0

        def finish_shard() -> None:
            shards.append(_write_shard(unfinished, len(shards), members, samples, crc))

        encode = encode_files if on_disk else encode_arrays
        encoded = encoded_samples(dataset, encode, workers)
        for number, (values, records) in enumerate(encoded):
            metadata, sample = _sample_members(f'{number:09d}', values, records)
            if samples and size + len(sample) > shard_size:
                finish_shard()
                members, size, samples, crc = [], 0, 0, 0
            members.append(sample)
            crc = zlib.crc32(metadata, crc)
            size, samples = size + len(sample), samples + 1
            progress(number + 1, len(dataset))
        if not samples:
            raise ValueError(f'{type(dataset).__name__} has no sample to write')
        finish_shard()
        index = ShardIndex(
            dataset=type(dataset).__name__,
            dataset_name=dataset.metainfo['dataset_name'],
            min_depth=dataset.min_depth,
            max_depth=dataset.max_depth,
            depth_scale=dataset.depth_scale if on_disk else None,
            shards=tuple(shards),
        )
        made_from = list_of(dataset) if on_disk else {}
        write_atomically(unfinished / INDEX, index.to_json(made_from))
    return index


def encode_files(dataset: BaseDepthDataset, index: int) -> tuple[dict, dict]:
    """Return the plain values of a sample on disk, and its records as (bytes, coding) by name."""
    values, packed = encode_sample(dataset, index)
    records = {IMAGE: packed['packed_image']}
    if 'packed_depth' in packed:
        records[DEPTH] = packed['packed_depth']
    if values.get('other_img_path'):
        records['other_img'] = encode_image_file(dict(img_path=values['other_img_path']))
    # Where the data set lies on this machine is nobody's business.
    for key, value in values.items():
        if isinstance(value, str):
            values[key] = below(value, dataset.data_root)
    return values, records


def encode_arrays(dataset: Dataset, index: int) -> tuple[dict, dict]:
    """Return the plain values of any other sample, and its arrays as (bytes, coding) by name.

    Raises:
        ValueError: If the sample is no dict with an image.
    """
    sample = dataset[index]
    if not isinstance(sample, dict) or 'img' not in sample:
        raise ValueError(
            f'sample {index} of {type(dataset).__name__} is no dict with an "img"; shards are '
            'written of data sets without a pipeline'
        )
    values, records = {}, {}
    for key, value in sample.items():
        if key in GIVEN_KEYS or key in SHAPE_KEYS:
            continue
        if not isinstance(value, np.ndarray):
            values[key] = plain(value)
        elif value.ndim == 3 and value.dtype == np.uint8:
            records[key] = encode_image(value)
        else:
            records[key] = encode_array(value)
    return values, records


def verify_shards(folder: str | Path) -> list[str]:
    """Compare size and SHA-256 of every shard with the index; return what is wrong, in words.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the index is damaged.
    """
    path = Path(folder, INDEX)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; depth pack --format wds writes shards')
    problems = []
    for shard in parse_index(path.read_bytes(), str(path)).shards:
        file = Path(folder, shard.name)
        if not file.is_file():
            problems.append(f'{file} is missing; copy it again')
        elif file.stat().st_size != shard.size:
            problems.append(
                f'{file} has {file.stat().st_size} bytes, {shard.size} were written; copy it again'
            )
        else:
            sha256 = sha256_of(file)
            if sha256 != shard.sha256:
                problems.append(
                    f'{file}: SHA-256 is {sha256}, {shard.sha256} was written; copy it again'
                )
    return problems


def _sample_members(key: str, values: dict, records: dict) -> tuple[bytes, bytes]:
    """Return the metadata of one sample, and all its members as they are in the tar file."""
    codings = {}
    for name, (content, coding) in records.items():
        if len(content) > MAX_MEMBER:
            raise ValueError(
                f'{name} of sample {key} has {len(content)} bytes, a member has at most '
                f'{MAX_MEMBER}'
            )
        codings[name] = dict(crc=frame_checksum(content)) | coding
    metadata = encode_metadata(values, codings)
    members = [_member(f'{key}.json', metadata)]
    for name, (content, coding) in records.items():
        members.append(_member(member_name(key, name, coding['codec']), content))
    return metadata, b''.join(members)


def _member(name: str, content: bytes) -> bytes:
    """Return header and content of a file, without time or owner, filled up to whole blocks."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    padding = bytes(-len(content) % BLOCK)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + padding


def _write_shard(
    folder: Path, number: int, members: list[bytes], samples: int, metadata_crc: int
) -> Shard:
    """Write a shard and return its entry of the index."""
    content = b''.join(members)
    # A tar file ends with two blocks of zeros, and in whole records of twenty blocks.
    content += bytes(2 * BLOCK)
    content += bytes(-len(content) % tarfile.RECORDSIZE)
    path = folder / f'shard-{number:06d}.tar'
    write_atomically(path, content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Shard(path.name, samples, len(content), sha256, metadata_crc)
