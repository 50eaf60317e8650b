"""What is learnt about one sample's files: headers always, contents on request."""

import hashlib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..transforms.loading import load_depth, load_image, read_stored

TAIL_BYTES = 4096
PNG_END = b'IEND\xaeB`\x82'
JPEG_END = b'\xff\xd9'
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
OTHER_FILES = {  # of self-supervised sets: what it is, and which splits need it
    'other_img_path': ('second view', ('train', 'val', 'test')),
    'velodyne_path': ('laser scan', ('val', 'test')),
    'depth_hint_path': ('depth hint', ('train',)),
}
FLOAT_SUFFIXES = ('.npy', '.npz', '.tif', '.tiff')


@dataclass
class FileProbe:
    """One file.

    Attributes:
        path: As listed.
        size: (width, height) in pixels from the header, None where it does not tell.
        bits: Of one pixel's channel, None where the header does not tell.
        problem: ``missing``, ``empty``, ``truncated`` or ``unreadable: ...``; '' if none.
        fingerprint: Length and a hash of the file's end, equal for equal files.
    """

    path: str
    size: tuple[int, int] | None = None
    bits: int | None = None
    problem: str = ''
    fingerprint: tuple[int, str] | None = None


@dataclass
class DepthValues:
    """Contents of one depth map.

    Attributes:
        valid: Share of pixels with ground truth.
        median: Of them, in metres; 0 if there are none.
        beyond: Share of them beyond the far end of the range.
        nan: Pixels that are no number, infinite, negative in the file, where the file can hold such.
    """

    valid: float
    median: float
    beyond: float
    nan: int = 0
    infinite: int = 0
    negative: int = 0


@dataclass
class Record:
    """Everything known about one sample."""

    sample: dict
    image: FileProbe
    depth: FileProbe | None = None
    others: dict[str, FileProbe] = field(default_factory=dict)  # by key of the sample, see OTHER_FILES
    values: DepthValues | None = None
    problems: list[str] = field(default_factory=list)  # of decoding, in the words of the reader


def probe_sample(sample: dict, contents: bool, pixels: bool) -> Record:
    """Look at a sample.

    Args:
        sample: As the data set lists it.
        contents: Decode the depth map.
        pixels: Decode the image.
    """
    record = Record(sample, probe_file(sample['img_path']))
    if sample.get('depth_path'):
        record.depth = probe_file(sample['depth_path'])
    record.others = {key: probe_file(sample[key]) for key in OTHER_FILES if sample.get(key)}
    if sample.get('details_error'):
        record.problems.append(sample['details_error'])
    image_size = record.image.size
    if pixels and not record.image.problem:
        try:
            _check_sums(sample['img_path'])
            image_size = load_image(sample).shape[1::-1]
        except Exception as error:
            record.image.problem = f'unreadable: {error}'
    if contents and record.depth and not record.depth.problem and not record.problems:
        _read_values(record, image_size)
    return record


def probe_file(path: str | Path) -> FileProbe:
    """Look at a file's header and its last bytes."""
    probe, path = FileProbe(str(path)), Path(path)
    try:
        length = path.stat().st_size
    except NotADirectoryError:  # a frame inside an archive such as NYU's .mat, which its reader opens
        return probe
    except OSError:
        # Frames of a file that holds many are called FILE/NAME; their reader finds out whether they are there.
        if not any(parent.is_file() for parent in path.parents):
            probe.problem = 'missing'
        return probe
    if not length:
        probe.problem = 'empty'
        return probe
    try:
        tail = _tail(path, length)
        probe.fingerprint = length, hashlib.blake2b(tail, digest_size=16).hexdigest()
        _read_header(probe, path, tail)
    except Exception as error:  # whatever a reader makes of damaged bytes
        probe.problem = f'unreadable: {type(error).__name__}: {error}'
    return probe


def _check_sums(path: str) -> None:
    """Check the sums that a PNG carries; the decoder used for training fills damaged parts in silence."""
    if path.lower().endswith('.png'):
        with Image.open(path) as image:
            image.verify()


def _tail(path: Path, length: int) -> bytes:
    with path.open('rb') as file:
        file.seek(max(0, length - TAIL_BYTES))
        return file.read()


def _read_header(probe: FileProbe, path: Path, tail: bytes) -> None:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        with Image.open(path) as image:
            probe.size, kind = image.size, image.format
            probe.bits = 16 if image.mode.startswith('I') else 32 if image.mode == 'F' else 8
        # Some writers pad a JPEG with zeros behind its end mark.
        end = {'PNG': PNG_END in tail[-64:], 'JPEG': tail.rstrip(b'\0').endswith(JPEG_END) or JPEG_END in tail[-64:]}
        if not end.get(kind, True):
            probe.problem = 'truncated'
    elif suffix == '.npy':
        array = np.load(path, mmap_mode='r', allow_pickle=False)  # checks the length of the file
        probe.size, probe.bits = array.shape[1::-1], array.dtype.itemsize * 8
    elif suffix == '.npz' and not zipfile.is_zipfile(path):
        probe.problem = 'truncated'


def _read_values(record: Record, image_size: tuple[int, int] | None) -> None:
    sample = record.sample
    try:
        depth = load_depth(sample)
        raw = None
        if not sample.get('depth_reader') and Path(sample['depth_path']).suffix.lower() in FLOAT_SUFFIXES:
            raw = read_stored(sample['depth_path'])
    except Exception as error:
        record.depth.problem = f'unreadable: {error}'
        return
    record.depth.size = depth.shape[1::-1]
    if image_size is not None:
        record.image.size = image_size
    valid = depth[depth > 0]
    record.values = DepthValues(
        valid=valid.size / max(depth.size, 1),
        median=float(np.median(valid)) if valid.size else 0.0,
        beyond=float((valid > sample.get('max_depth', np.inf)).mean()) if valid.size else 0.0,
    )
    if raw is not None and raw.dtype.kind == 'f':
        record.values.nan = int(np.isnan(raw).sum())
        record.values.infinite = int(np.isinf(raw).sum())
        record.values.negative = int((raw < 0).sum())
