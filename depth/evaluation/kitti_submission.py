"""Archives for the KITTI depth prediction server: read, average, pack, validate.

The server takes a zip with 500 files ``0000000000.png`` ... ``0000000499.png`` in its root, each a
16-bit PNG of one channel with the size of its test image, depth * 256, 0 = no prediction.

Reference: the benchmark's development kit, https://www.cvlibs.net/datasets/kitti/eval_depth.php
"""

import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import atomic_open
from depth.depth_codes import encode_uint16

from .map_files import read_map, read_side_car

NUM_IMAGES = 500
NAMES = tuple(f'{index:010d}.png' for index in range(NUM_IMAGES))
SIZE = (1216, 352)  # width, height of every published test image
DEPTH_SCALE = 256.0  # stored integers per metre
FARTHEST = 65535 / DEPTH_SCALE
PLAUSIBLE_MEDIAN = (3.0, 50.0)  # metres over a street scene; a wrong scale is off by 3.9 or more
SUFFIXES = ('.png', '.npy', '.npz')
# A constant time stamp, so that the same predictions give the same archive.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def find_predictions(folder: str | Path) -> dict[str, Path]:
    """Return the predictions of a folder by their file names in the archive.

    A file belongs to the image whose ten digits end its stem:
    ``data_kitti_benchmark_test_0000000007.png``.

    Raises:
        FileNotFoundError: If there is no such folder, or images have no prediction.
        ValueError: If two files have the digits of one image, or a file has those of no test image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'prediction folder {folder} does not exist')
    predictions: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in SUFFIXES:
            continue
        digits = re.search(r'(?<!\d)\d{10}$', path.stem)
        name = f'{digits.group()}.png' if digits else ''
        if name not in NAMES:
            raise ValueError(
                f'{path} is no prediction of test image 0000000000 to {NUM_IMAGES - 1:010d}; take '
                'it away'
            )
        if name in predictions:
            raise ValueError(f'{predictions[name]} and {path} both are predictions of {name}')
        predictions[name] = path
    missing = [name for name in NAMES if name not in predictions]
    if missing:
        listed = ', '.join(missing[:3])
        if len(missing) > 3:
            listed += ' ...'
        raise FileNotFoundError(
            f'{folder} has {len(predictions)} of {NUM_IMAGES} predictions; missing: {listed}'
        )
    return predictions


def read_prediction(path: str | Path, depth_scale: float = DEPTH_SCALE) -> np.ndarray:
    """Read one prediction as float32 metres (H, W), 0 = none.

    Args:
        path: 16-bit PNG, npy or npz (first array); float files hold metres.
        depth_scale: Integers per metre of PNGs without a side-car JSON that states it.

    Raises:
        ValueError: If it is damaged, has several channels or 8 bits, or holds NaN, infinite or
            negative values.
    """
    path = Path(path)
    stored = read_map(path)
    if stored.ndim != 2:
        raise ValueError(f'{path} is no depth map of one channel: {stored.shape}')
    if stored.dtype.kind == 'f':
        depth = stored.astype(np.float32)
    elif stored.dtype == np.uint16:
        side_car = path.with_suffix('.json')
        if side_car.is_file():
            depth_scale = read_side_car(side_car)
        depth = stored.astype(np.float32) / np.float32(depth_scale)
    else:
        raise ValueError(
            f'{path} holds {stored.dtype}; depth is needed as 16-bit PNG or as metres in a float '
            'file'
        )
    if not np.isfinite(depth).all() or (depth < 0).any():
        raise ValueError(f'{path} holds NaN, infinite or negative depth')
    return depth


def average_depth(
    depths: Sequence[np.ndarray], weights: Sequence[float] | None = None, log_depth: bool = False
) -> np.ndarray:
    """Average predictions of one image, pixel by pixel, over those that have one there.

    Args:
        depths: Metres, (H, W) each, 0 = none.
        weights: One positive number a prediction, in any unit; equal by default.
        log_depth: Average logarithms: the geometric mean, which minimises the mean square log
            error.

    Returns:
        (H, W) float32 in metres; 0 where no prediction has a value.

    Raises:
        ValueError: If sizes differ or the weights do not fit.
    """
    shapes = {depth.shape for depth in depths}
    if len(shapes) != 1:
        raise ValueError(f'predictions of one image differ in size: {sorted(shapes)}')
    check_weights(weights, len(depths))
    stack = np.stack(depths).astype(np.float64)  # (models, H, W)
    model_weights = np.ones(len(depths))
    if weights is not None:
        model_weights = np.asarray(weights, np.float64)
    # A model without a value at a pixel has no weight there.
    pixel_weights = model_weights[:, None, None] * (stack > 0)
    total = pixel_weights.sum(axis=0)
    values = stack
    if log_depth:
        values = np.log(np.where(stack > 0, stack, 1))
    mean = (pixel_weights * values).sum(axis=0) / np.where(total > 0, total, 1)
    if log_depth:
        mean = np.exp(mean)
    return np.where(total > 0, mean, 0).astype(np.float32)


def check_weights(weights: Sequence[float] | None, count: int) -> None:
    """Check that there is one positive weight a model.

    Raises:
        ValueError: If not.
    """
    if weights is not None and (len(weights) != count or min(weights) <= 0):
        raise ValueError(f'{count} models need {count} positive weights, got {list(weights)}')


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Return depth (H, W) in metres as uint16 of the server; a positive depth never becomes 0."""
    return encode_uint16(depth, DEPTH_SCALE)


def pack_submission(
    folders: Sequence[str | Path],
    out: str | Path,
    weights: Sequence[float] | None = None,
    log_depth: bool = False,
    depth_scale: float = DEPTH_SCALE,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> list[str]:
    """Write the archive of one model, or of the average of several, and validate it.

    Args:
        folders: Of predictions, one a model.
        out: Path of the zip; it is written only if it is valid.
        weights: See :func:`average_depth`.
        log_depth: See :func:`average_depth`.
        depth_scale: See :func:`read_prediction`.
        progress: Wraps the iteration over names.

    Returns:
        Remarks on the archive: its median depth, pixels without a prediction or at the limit.

    Raises:
        FileNotFoundError, ValueError: If a prediction is missing or invalid.
    """
    check_weights(weights, len(folders))
    models = [find_predictions(folder) for folder in folders]
    with atomic_open(out) as file:
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
            # Stored, not deflated again: PNG data do not get smaller.
            for name in progress(list(NAMES)):
                depths = [read_prediction(model[name], depth_scale) for model in models]
                depth = average_depth(depths, weights, log_depth)
                stored = cv2.imencode('.png', encode_depth(depth))[1].tobytes()
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), stored)
        # Checked under its temporary name: an invalid archive never gets the name of a valid one.
        file.flush()
        problems, notes = check_archive(file.name)
        if problems:
            raise ValueError('the server would refuse this: ' + '; '.join(problems))
    return notes


def check_archive(path: str | Path) -> tuple[list[str], list[str]]:
    """Validate an archive as the server would, and check that its depth can be metres.

    Returns:
        Problems, for which the server would refuse it, and remarks.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            problems = _name_problems(names)
            summaries = []
            for name in names:
                if name not in NAMES:
                    continue
                content = np.frombuffer(archive.read(name), np.uint8)
                stored = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
                problem = _map_problem(name, stored)
                if problem:
                    problems.append(problem)
                else:
                    summaries.append(_summarize(stored))
    except (zipfile.BadZipFile, zlib.error, OSError) as error:
        return [f'{path} is no readable zip: {error}'], []
    scale_problems, notes = _value_remarks(summaries)
    return _shorten(problems) + scale_problems, notes


def _name_problems(names: Sequence[str]) -> list[str]:
    """Return the problems with the names of an archive's files."""
    problems = []
    missing = sorted(set(NAMES) - set(names))
    extra = [name for name in names if name not in NAMES]
    if extra:
        problem = f'{len(extra)} entries the server does not expect, such as {extra[0]}'
        # The usual mistake: the folder was packed instead of the files in it.
        if any(Path(name).name in NAMES for name in extra):
            problem += ' (the files belong into the root of the zip, not into a folder)'
        problems.append(problem)
    if missing:
        problems.append(f'{len(missing)} of {NUM_IMAGES} files missing, such as {missing[0]}')
    if len(set(names)) < len(names):
        problems.append('some names are there twice')
    return problems


def _map_problem(name: str, stored: np.ndarray | None) -> str:
    if stored is None:
        return f'{name} is no image'
    if stored.dtype != np.uint16 or stored.ndim != 2:
        return f'{name} is {stored.dtype} {stored.shape}, expected a 16-bit PNG of one channel'
    if stored.shape[::-1] != SIZE:
        size = f'{stored.shape[1]}x{stored.shape[0]}'
        return f'{name} has size {size}, expected {SIZE[0]}x{SIZE[1]}, that of the test image'
    return ''


@dataclass(frozen=True)
class _MapSummary:
    """Summary of a stored map.

    Attributes:
        median: Of the pixels with a value, in metres; 0 if there are none.
        num_empty: Pixels without a value.
        num_limited: Pixels at the farthest value of 16 bits.
    """

    median: float
    num_empty: int
    num_limited: int


def _summarize(stored: np.ndarray) -> _MapSummary:
    present = stored[stored > 0]
    median = 0.0
    if present.size:
        median = float(np.median(present)) / DEPTH_SCALE
    return _MapSummary(median, stored.size - present.size, int((stored == 65535).sum()))


def _value_remarks(summaries: Sequence[_MapSummary]) -> tuple[list[str], list[str]]:
    """Return the problems with the values of all maps, and remarks on them."""
    problems, notes = [], []
    medians = [summary.median for summary in summaries if summary.median]
    if medians:
        typical = float(np.median(medians))
        notes.append(f'median depth {typical:.2f} m over {len(medians)} images')
        if not PLAUSIBLE_MEDIAN[0] <= typical <= PLAUSIBLE_MEDIAN[1]:
            problems.append(f'a median depth of {typical:.4g} m is no street: is it depth * 256?')
    if len(medians) < len(summaries):
        problems.append(f'{len(summaries) - len(medians)} maps hold no prediction at all')
    num_empty = num_limited = 0
    for summary in summaries:
        num_empty += summary.num_empty
        num_limited += summary.num_limited
    if num_empty:
        notes.append(f'{num_empty} pixels have no prediction (0); the server fills them in')
    if num_limited:
        notes.append(
            f'{num_limited} pixels are at the farthest that 16 bits hold, {FARTHEST:.0f} m'
        )
    return problems, notes


def _shorten(problems: list[str], limit: int = 5) -> list[str]:
    if len(problems) <= limit:
        return problems
    shortened = problems[:limit]
    shortened.append(f'and {len(problems) - limit} more')
    return shortened
