"""Archives for the KITTI depth prediction server: read, average, pack, validate.

What the server takes: a zip with 500 files ``0000000000.png`` ... ``0000000499.png`` in its root, each a 16-bit PNG of
one channel with the size of its test image, depth * 256, 0 = no prediction.

Reference: the benchmark's development kit, https://www.cvlibs.net/datasets/kitti/eval_depth.php
"""

import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import atomic_open

NUM_IMAGES = 500
NAMES = tuple(f'{index:010d}.png' for index in range(NUM_IMAGES))
SIZE = (1216, 352)  # width, height of every published test image
DEPTH_SCALE = 256.0  # stored integers per metre
FARTHEST = 65535 / DEPTH_SCALE
PLAUSIBLE_MEDIAN = (3.0, 50.0)  # metres over a street scene; a wrong scale is off by 3.9 or more
SUFFIXES = ('.png', '.npy', '.npz')
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same predictions give the same archive


def find_predictions(folder: str | Path) -> dict[str, Path]:
    """Return the predictions of a folder by the name the server wants.

    A file belongs to the image whose ten digits end its stem: ``data_kitti_benchmark_test_0000000007.png``.

    Raises:
        FileNotFoundError: If there is no such folder, or images have no prediction.
        ValueError: If two files claim one image, or one claims an image that there is not.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'prediction folder {folder} does not exist')
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
        digits = re.search(r'(?<!\d)\d{10}$', path.stem)
        name = f'{digits.group()}.png' if digits else None
        if name not in NAMES:
            raise ValueError(f'{path} is no prediction of test image 0000000000 to {NUM_IMAGES - 1:010d}; take it away')
        if name in found:
            raise ValueError(f'{found[name]} and {path} both are predictions of {name}')
        found[name] = path
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise FileNotFoundError(
            f'{folder} has {len(found)} of {NUM_IMAGES} predictions; missing: {", ".join(missing[:3])}'
            + (' ...' if len(missing) > 3 else '')
        )
    return found


def read_prediction(path: str | Path, depth_scale: float = DEPTH_SCALE) -> np.ndarray:
    """Read one prediction as float32 metres (H, W), 0 = none.

    Args:
        path: 16-bit PNG, npy or npz (first array); float files hold metres.
        depth_scale: Integers per metre of PNGs without a side-car JSON that states it.

    Raises:
        ValueError: If it is damaged, has several channels or 8 bits, or holds values that are no depth.
    """
    path = Path(path)
    stored = _read(path)
    if stored is None or stored.ndim != 2:
        raise ValueError(f'{path} is no depth map of one channel: {None if stored is None else stored.shape}')
    if stored.dtype.kind == 'f':
        depth = stored.astype(np.float32)
    elif stored.dtype == np.uint16:
        side_car = path.with_suffix('.json')
        if side_car.is_file():
            depth_scale = float(json.loads(side_car.read_text(encoding='utf-8'))['depth_scale'])
        depth = stored.astype(np.float32) / np.float32(depth_scale)
    else:
        raise ValueError(f'{path} holds {stored.dtype}; depth is needed as 16-bit PNG or as metres in a float file')
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
        log_depth: Average logarithms: the geometric mean, which minimises the mean square log error.

    Returns:
        (H, W) float32 in metres; 0 where no prediction has a value.

    Raises:
        ValueError: If sizes differ or the weights do not fit.
    """
    shapes = {depth.shape for depth in depths}
    if len(shapes) != 1:
        raise ValueError(f'predictions of one image differ in size: {sorted(shapes)}')
    check_weights(weights, len(depths))
    stack = np.stack(depths).astype(np.float64)
    share = np.ones(len(depths)) if weights is None else np.asarray(weights, np.float64)
    share = share[:, None, None] * (stack > 0)
    total = share.sum(axis=0)
    values = np.log(np.where(stack > 0, stack, 1)) if log_depth else stack
    mean = (share * values).sum(axis=0) / np.where(total > 0, total, 1)
    return np.where(total > 0, np.exp(mean) if log_depth else mean, 0).astype(np.float32)


def check_weights(weights: Sequence[float] | None, count: int) -> None:
    """See that there is one positive weight a model.

    Raises:
        ValueError: If not.
    """
    if weights is not None and (len(weights) != count or min(weights) <= 0):
        raise ValueError(f'{count} models need {count} positive weights, got {list(weights)}')


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Return depth (H, W) in metres as the server stores it, uint16; what is there never becomes 0, "none"."""
    stored = np.rint(depth.astype(np.float64) * DEPTH_SCALE)
    return np.where(depth > 0, np.clip(stored, 1, 65535), 0).astype(np.uint16)


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
        out: The zip. It is not written if something is wrong.
        weights: See :func:`average_depth`.
        log_depth: See :func:`average_depth`.
        depth_scale: See :func:`read_prediction`.
        progress: Wraps the iteration over names.

    Returns:
        What is worth knowing about the archive, in words.

    Raises:
        FileNotFoundError, ValueError: If a prediction is missing or cannot be taken.
    """
    check_weights(weights, len(folders))
    models = [find_predictions(folder) for folder in folders]
    with atomic_open(out) as file:
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as archive:
            for name in progress(list(NAMES)):
                depth = average_depth(
                    [read_prediction(model[name], depth_scale) for model in models], weights, log_depth
                )
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), cv2.imencode('.png', encode_depth(depth))[1].tobytes())
        file.flush()
        problems, notes = check_archive(file.name)
        if problems:
            raise ValueError('the server would refuse this: ' + '; '.join(problems))
    return notes


def check_archive(path: str | Path) -> tuple[list[str], list[str]]:
    """Validate an archive as the server would, and look whether its depth can be metres.

    Returns:
        What makes it wrong, and what is worth knowing; both in words.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            problems, values = _name_problems(names), []
            for name in (name for name in names if name in NAMES):
                stored = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
                problem = _map_problem(name, stored)
                if problem:
                    problems.append(problem)
                else:
                    values.append(_summarise(stored))
    except (zipfile.BadZipFile, zlib.error, OSError) as error:
        return [f'{path} is no readable zip: {error}'], []
    scale_problems, notes = _value_remarks(values)
    return _shorten(problems) + scale_problems, notes


def _name_problems(names: Sequence[str]) -> list[str]:
    problems = []
    missing, extra = [n for n in NAMES if n not in set(names)], [n for n in names if n not in NAMES]
    if extra:
        nested = any(Path(name).name in NAMES for name in extra)
        where = ' (the files belong into the root of the zip, not into a folder)' if nested else ''
        problems.append(f'{len(extra)} entries the server does not expect, such as {extra[0]}{where}')
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
        return (
            f'{name} has size {stored.shape[1]}x{stored.shape[0]}, expected {SIZE[0]}x{SIZE[1]}, that of the test image'
        )
    return ''


def _summarise(stored: np.ndarray) -> tuple[float, int, int]:
    """Return the median in metres (0 if there is none), the pixels without a prediction and those at the limit."""
    known = stored[stored > 0]
    median = float(np.median(known)) / DEPTH_SCALE if known.size else 0.0
    return median, stored.size - known.size, int((stored == 65535).sum())


def _value_remarks(values: Sequence[tuple[float, int, int]]) -> tuple[list[str], list[str]]:
    problems, notes = [], []
    medians = [median for median, _, _ in values if median]
    if medians:
        typical = float(np.median(medians))
        notes.append(f'median depth {typical:.2f} m over {len(medians)} images')
        if not PLAUSIBLE_MEDIAN[0] <= typical <= PLAUSIBLE_MEDIAN[1]:
            problems.append(f'a median depth of {typical:.4g} m is no street: is it depth * 256?')
    if len(medians) < len(values):
        problems.append(f'{len(values) - len(medians)} maps hold no prediction at all')
    holes, cut = (sum(value[which] for value in values) for which in (1, 2))
    if holes:
        notes.append(f'{holes} pixels have no prediction (0); the server fills them in')
    if cut:
        notes.append(f'{cut} pixels are at the farthest that 16 bits hold, {FARTHEST:.0f} m')
    return problems, notes


def _shorten(problems: list[str], limit: int = 5) -> list[str]:
    return problems[:limit] + ([f'and {len(problems) - limit} more'] if len(problems) > limit else [])


def _read(path: Path) -> np.ndarray | None:
    try:
        if path.suffix == '.png':
            return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        loaded = np.load(path, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else loaded[loaded.files[0]]
    except (ValueError, OSError, EOFError, IndexError, zipfile.BadZipFile, cv2.error) as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
