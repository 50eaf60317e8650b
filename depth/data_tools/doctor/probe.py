"""Probe of one sample's files: headers always, contents on request."""

import hashlib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from depth.datasets.jpeg import entropy_error, is_jpeg
from depth.datasets.transforms.loading import load_depth, load_image, read_stored

TAIL_BYTES = 4096
PNG_END = b'IEND\xaeB`\x82'
JPEG_END = b'\xff\xd9'
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


class FileRole(NamedTuple):
    """Files of self-supervised sets beside image and depth map.

    Attributes:
        name: For messages.
        roles: Splits that need them.
        remedy: Advice where one is missing, '' for that of any file.
    """

    name: str
    roles: tuple[str, ...]
    remedy: str = ''


OTHER_FILES = {  # by key of the sample
    'other_img_path': FileRole('second view', ('train', 'val', 'test')),
    'velodyne_path': FileRole('laser scan', ('val', 'test')),
    'depth_hint_path': FileRole(
        'depth hint',
        ('train',),
        'compute them with the tool that the config names, or train without (hint_root=None)',
    ),
}
ORIENTATION_TAG = 0x0112
# Where a car's camera sees the road: first row and columns, in shares of height and width.
ROAD_TOP = 0.6
ROAD_COLUMNS = (0.3, 0.7)
ROAD_POINTS = 50  # pixels with depth
# Between the quartiles of the heights, of their median. Real and rendered streets have 0 to 0.07.
ROAD_SPREAD = 0.12
FLOOR_POINTS, FLOOR_TRIALS = 400, 150
FLOOR_TILT = np.deg2rad(25)
FLOOR_SPREAD = 0.01  # of the distance, within which a point is on the floor
FLOOR_SHARE = 0.3  # of the points in the lower half
FLOAT_SUFFIXES = ('.npy', '.npz', '.tif', '.tiff')


@dataclass
class FileProbe:
    """One file.

    Attributes:
        path: As listed.
        size: (width, height) in pixels from the header, None where it does not tell.
        bits: Of one pixel's channel, None where the header does not tell.
        fault: ``missing``, ``empty``, ``truncated`` or ``unreadable``; '' if none.
        error: Words of the reader, where the file is unreadable.
        fingerprint: Length and a hash of the file's end, equal for equal files.
        orientation: Of the EXIF data, 1 (upright) to 8.
    """

    path: str
    size: tuple[int, int] | None = None
    bits: int | None = None
    fault: str = ''
    error: str = ''
    fingerprint: tuple[int, str] | None = None
    orientation: int = 1

    def fail(self, error: str) -> None:
        """Mark the file as unreadable."""
        self.fault, self.error = 'unreadable', error


@dataclass
class DepthValues:
    """Contents of one depth map; depths in metres of pixels with ground truth, 0 without any.

    Attributes:
        valid: Share of pixels with ground truth.
        median: Of the depths.
        beyond: Share of the pixels with ground truth beyond the far end of the range.
        nearest: Least depth.
        low: 1 % quantile.
        high: 99 % quantile.
        farthest: Largest depth.
        camera_height: Of a car's camera above a flat road, metres; None if none is seen or there
            are no intrinsics.
        floor_distance: Of a hand-held camera from the floor, metres; likewise.
        nan: Pixels that are no number, infinite, negative in the file, where the file can hold
            such.
    """

    valid: float
    median: float
    beyond: float
    nearest: float = 0.0
    low: float = 0.0
    high: float = 0.0
    farthest: float = 0.0
    camera_height: float | None = None
    floor_distance: float | None = None
    nan: int = 0
    infinite: int = 0
    negative: int = 0


@dataclass
class Record:
    """Probes and values of one sample.

    Attributes:
        sample: As the data set lists it.
        image: Probe of the image.
        depth: Probe of the depth map; None where the sample has none.
        other_files: Probes by key of the sample, see ``OTHER_FILES``.
        values: Contents of the depth map; None if it was not decoded.
        problems: Errors of details such as the camera's file, in the words of the reader.
    """

    sample: dict
    image: FileProbe
    depth: FileProbe | None = None
    other_files: dict[str, FileProbe] = field(default_factory=dict)
    values: DepthValues | None = None
    problems: list[str] = field(default_factory=list)


def probe_sample(sample: dict, contents: bool, pixels: bool) -> Record:
    """Look at a sample.

    Args:
        sample: As the data set lists it.
        contents: Decode the depth map.
        pixels: Decode the image.
    """
    probe = FileProbe if sample.get('pack') else probe_file
    record = Record(sample, probe(sample['img_path']))
    if sample.get('depth_path'):
        record.depth = probe(sample['depth_path'])
    for key in OTHER_FILES:
        if sample.get(key):
            record.other_files[key] = probe_file(sample[key])
    if sample.get('details_error'):
        record.problems.append(sample['details_error'])
    image_size = record.image.size
    if pixels and not record.image.fault:
        try:
            # A reader of its own takes the image out of a file of many, such as a .mat.
            if not sample.get('img_reader'):
                _check_sums(sample['img_path'])
            image_size = load_image(sample).shape[1::-1]
        except Exception as error:
            record.image.fail(str(error))
    if contents and record.depth and not record.depth.fault and not record.problems:
        _read_values(record, image_size)
    return record


def probe_file(path: str | Path) -> FileProbe:
    """Look at a file's header and its last bytes."""
    probe, path = FileProbe(str(path)), Path(path)
    try:
        length = path.stat().st_size
    except NotADirectoryError:
        return probe
    except OSError:
        # Frames of a file that holds many are called FILE/NAME; their reader finds out whether they
        # are there.
        if not any(parent.is_file() for parent in path.parents):
            probe.fault = 'missing'
        return probe
    if not length:
        probe.fault = 'empty'
        return probe
    try:
        tail = _tail(path, length)
        probe.fingerprint = length, hashlib.blake2b(tail, digest_size=16).hexdigest()
        _read_header(probe, path, tail)
    except Exception as error:  # whatever a reader makes of damaged bytes
        probe.fail(f'{type(error).__name__}: {error}')
    return probe


def _check_sums(path: str) -> None:
    """Check the sums of a PNG and the data of a JPEG; the decoder fills damage in silence.

    Raises:
        Exception: Whatever a reader makes of damaged bytes.
    """
    content = Path(path).read_bytes()
    if is_jpeg(content):
        damage = entropy_error(content)
        if damage:
            raise ValueError(f'damaged JPEG file, {damage}')
    elif content.startswith(b'\x89PNG'):
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
            probe.orientation = _orientation(image)
            probe.bits = 8
            if image.mode.startswith('I'):
                probe.bits = 16
            elif image.mode == 'F':
                probe.bits = 32
        # Some writers pad a JPEG with zeros behind its end mark.
        end = {
            'PNG': PNG_END in tail[-64:],
            'JPEG': tail.rstrip(b'\0').endswith(JPEG_END) or JPEG_END in tail[-64:],
        }
        if not end.get(kind, True):
            probe.fault = 'truncated'
    elif suffix == '.npy':
        # A memory map reads the header alone, and checks the length of the file.
        array = np.load(path, mmap_mode='r', allow_pickle=False)
        probe.size, probe.bits = array.shape[1::-1], array.dtype.itemsize * 8
    elif suffix == '.npz' and not zipfile.is_zipfile(path):
        probe.fault = 'truncated'


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation as far as the header tells; ``getexif`` would decode a PNG."""
    if not image.info.get('exif'):
        return 1
    exif = Image.Exif()
    exif.load(image.info['exif'])
    return int(exif.get(ORIENTATION_TAG, 1))


def _read_values(record: Record, image_size: tuple[int, int] | None) -> None:
    sample = record.sample
    try:
        depth = load_depth(sample)
        raw = None
        is_float_file = Path(sample['depth_path']).suffix.lower() in FLOAT_SUFFIXES
        # Loading makes NaN, infinite and negative values 0, so they are counted in the file.
        if is_float_file and not sample.get('depth_reader'):
            raw = read_stored(sample['depth_path'])
    except Exception as error:
        record.depth.fail(str(error))
        return
    record.depth.size = depth.shape[1::-1]
    if image_size is not None:
        record.image.size = image_size
    valid = depth[depth > 0]
    record.values = DepthValues(valid=valid.size / max(depth.size, 1), median=0.0, beyond=0.0)
    if valid.size:
        quantiles = np.percentile(valid, [0, 1, 50, 99, 100]).tolist()
        values = record.values
        values.nearest, values.low, values.median, values.high, values.farthest = quantiles
        values.beyond = float((valid > sample.get('max_depth', np.inf)).mean())
        intrinsics = _intrinsics(sample, depth.shape)
        if intrinsics is not None:
            values.camera_height = camera_height(depth, intrinsics)
            values.floor_distance = floor_distance(depth, intrinsics)
    if raw is not None and raw.dtype.kind == 'f':
        record.values.nan = int(np.isnan(raw).sum())
        record.values.infinite = int(np.isinf(raw).sum())
        record.values.negative = int((raw < 0).sum())


def _intrinsics(sample: dict, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the camera (3, 3) of a sample, or the usual one of its data set; None if unknown."""
    matrix = sample.get('cam_intrinsic')
    if matrix is None and 'nominal_camera' in sample:
        # Stated as fy / width and cy / height, so that it holds at every resolution.
        focal = sample['nominal_camera'][0] * shape[1]
        center = sample['nominal_camera'][1] * shape[0]
        matrix = [[focal, 0, shape[1] / 2], [0, focal, center], [0, 0, 1]]
    if matrix is None:
        return None
    matrix = np.asarray(matrix, np.float64)
    is_usable = (
        matrix.shape == (3, 3)
        and np.isfinite(matrix).all()
        and matrix[0, 0] > 0
        and matrix[1, 1] > 0
    )
    if not is_usable:
        return None
    return matrix


def camera_height(depth: np.ndarray, intrinsics: np.ndarray) -> float | None:
    """Return the height of a level camera above a flat road, in metres; None without a road.

    Points of a plane below the camera have one height, depth * (row - cy) / fy, whatever their
    distance.

    Args:
        depth: (H, W) in metres, 0 = no ground truth.
        intrinsics: (3, 3) in pixels.
    """
    height, width = depth.shape
    # Near the horizon, row cy, a small error of cy makes a large one of the height.
    top = int(max(ROAD_TOP * height, intrinsics[1, 2] + 0.05 * height))
    left, right = (round(share * width) for share in ROAD_COLUMNS)
    road = depth[top:, left:right]
    rows, columns = np.nonzero(road)
    if rows.size < ROAD_POINTS:
        return None
    slopes = (rows + top - intrinsics[1, 2]) / intrinsics[1, 1]
    heights = road[rows, columns] * slopes
    # The quartiles agree on a flat road; a car in front, a wall or a hill spreads them.
    lower, middle, upper = np.percentile(heights, [25, 50, 75])
    if upper - lower >= ROAD_SPREAD * middle:
        return None
    return float(middle)


def floor_distance(depth: np.ndarray, intrinsics: np.ndarray) -> float | None:
    """Return the distance in metres to a floor that fills much of the lower half; None without.

    Planes through three random points (always the same draw) whose normal is within ``FLOOR_TILT``
    of the camera's vertical are tried; the one with most points near it counts.

    Args:
        depth: (H, W) in metres, 0 = no ground truth.
        intrinsics: (3, 3) in pixels.
    """
    top = depth.shape[0] // 2
    rows, columns = np.nonzero(depth[top:])
    if rows.size < FLOOR_POINTS:
        return None
    rng = np.random.RandomState(0)
    drawn = rng.randint(rows.size, size=FLOOR_POINTS)
    rows, columns = rows[drawn] + top, columns[drawn]
    z = depth[rows, columns].astype(np.float64)
    x = (columns - intrinsics[0, 2]) / intrinsics[0, 0] * z
    y = (rows - intrinsics[1, 2]) / intrinsics[1, 1] * z
    points = np.stack([x, y, z], axis=1)  # (M, 3)
    corners = points[rng.randint(len(points), size=(FLOOR_TRIALS, 3))]  # (T, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    is_level = np.abs(normals[:, 1]) > np.cos(FLOOR_TILT) * lengths
    usable = is_level & (lengths > 0)
    if not usable.any():
        return None
    normals = normals[usable] / lengths[usable, None]
    distances = np.abs((normals * corners[usable, 0]).sum(axis=1))
    # The sign of a normal is arbitrary, so planes on both sides of the camera are compared alike.
    offsets = np.abs(np.abs(points @ normals.T) - distances)  # (M, T)
    shares = (offsets < FLOOR_SPREAD * distances).mean(axis=0)
    best = int(shares.argmax())
    if shares[best] <= FLOOR_SHARE:
        return None
    return float(distances[best])
