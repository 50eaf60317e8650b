"""Findings about depth values: a wrong scale, too few valid pixels, values that are no depth."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from depth.datasets.transforms.loading import has_own_unit

from .listing import FAR_RANGE, Split
from .probe import FLOAT_SUFFIXES, Record
from .report import Finding, shorten

NEAREST_SHARE, FARTHEST_SHARE = 0.02, 0.9  # of the range, where no typical median is known
MEDIAN_SPREAD = 0.35  # of the log median of single maps, in known sets
ROAD_CAMERAS = (1.0, 2.6)  # metres above the road, of any car
LEAST_HEIGHTS = 3  # maps with a road, where the camera is not known
USED_SHARE, LEAST_MAPS = 0.3, 10  # of the range that the farthest of so many maps reaches
OUTLIER_FACTOR = 30.0  # between one map and its split: another unit
ODD_FACTOR, ODD_SIGMA, LEAST_FOR_SPREAD = 1.8, 4.5, 20
LEAST_FOR_GROUPS = 12  # maps that show road or floor
GROUP_GAP = 0.5  # between two groups of heights, of the distance of their means
LEAST_FLOORS = 8  # maps that show the floor
HAND_HELD = (0.3, 2.3)  # metres above the floor; the plane may be that of a table
LEAST_SPREAD = 0.03  # of a log depth: below it maps are equal
SPLIT_FACTOR, SPLIT_SIGMA = 1.5, 5.0  # between the splits of one data set
# Share of pixels; the sparsest known set (one laser sweep at 1216x1936) has 2e-3.
LEAST_VALID = 5e-4
# Stored integers per metre: metres, cm, KITTI, mm, TUM RGB-D, tenths of a mm.
COMMON_SCALES = (1.0, 100.0, 256.0, 1000.0, 5000.0, 10000.0)


def wrong_scale(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find a split whose depth cannot be metres with this scale, and maps of another unit."""
    if split.label_type != 'metric':
        return
    measured = [record for record in records if record.values and record.values.median > 0]
    if not measured:
        return
    fault = _scale_fault(split, measured, 1.0)
    if fault:
        severity, message = fault
        advice = _scale_advice(split, measured)
        yield Finding(severity, 'scale', split.name, message, advice, len(measured))
        return
    odd_maps = list(_odd_maps(split, measured))
    yield from odd_maps
    if not odd_maps:
        yield from _two_scales(split, measured)
    farthest = max(record.values.farthest for record in measured)
    if len(measured) >= LEAST_MAPS and farthest < USED_SHARE * split.max_depth:
        yield Finding(
            'warning',
            'range',
            split.name,
            f'the farthest ground truth is {farthest:.4g} m, max_depth is {split.max_depth:g} m',
            'right for near scenes, for which a smaller max_depth is better; otherwise depth_scale '
            'is too large',
            len(measured),
        )


def different_scales(splits: list[Split], records: dict[str, list[Record]]) -> Iterator[Finding]:
    """Find two splits of one data set whose depths differ by more than their spread allows."""
    logs = {}
    for split in splits:
        if split.label_type != 'metric':
            continue
        medians = []
        for record in records[split.name]:
            if record.values and record.values.median:
                medians.append(record.values.median)
        if len(medians) >= LEAST_MAPS:
            logs[split.name] = np.log(medians)
    for first, second in combinations(splits, 2):
        is_measured = first.name in logs and second.name in logs
        if first.dataset != second.dataset or not is_measured:
            continue
        # Log depths, because a wrong scale shifts all of them by one number.
        a, b = logs[first.name], logs[second.name]
        difference = abs(float(a.mean() - b.mean()))
        error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        if difference > np.log(SPLIT_FACTOR) and difference > SPLIT_SIGMA * error:
            yield Finding(
                'warning',
                'scale',
                f'{first.name}, {second.name}',
                f'median depths of {np.exp(a.mean()):.3g} and {np.exp(b.mean()):.3g} m',
                'the splits show other scenes, or one of them is stored with another scale; '
                'compare pictures with tools/analysis_tools/browse_dataset.py',
                len(a) + len(b),
            )


def _scale_fault(split: Split, measured: list[Record], factor: float) -> tuple[str, str] | None:
    """Return severity and words if depths, times ``factor``, are none of this set; else None."""
    medians = np.array([record.values.median for record in measured]) * factor
    typical = float(np.median(medians))
    low, high = _plausible(split, len(measured))
    if not low <= typical <= high:
        source = 'this data set has' if split.typical else 'expected'
        words = f'the median depth is {typical:.4g} m, {source} {low:.3g} to {high:.3g} m'
        return 'error', f'{words} ({_histogram(medians, split.max_depth)})'
    # Without a known median the wide bounds above let a factor of ten pass. Then heights decide:
    # people and cars carry cameras at much the same height everywhere.
    if split.camera_height is None and split.max_depth < FAR_RANGE:
        if split.typical is not None:
            return None
        return _floor_fault(measured, factor)
    return _road_fault(split, measured, factor)


def _road_fault(split: Split, measured: list[Record], factor: float) -> tuple[str, str] | None:
    """Return severity and words if the road is not where it is below a car's camera."""
    heights = _list_values(measured, 'camera_height')
    if split.camera_height is not None:
        severity, owner, least = 'error', 'its', 1
        low, high = split.camera_height
    else:
        severity, owner, least = 'warning', 'a car has its', LEAST_HEIGHTS
        low, high = ROAD_CAMERAS
    # A road in less than half of the maps may be a wall or a table top in a set without roads.
    if len(heights) < least or 2 * len(heights) < len(measured):
        return None
    height = float(np.median(heights)) * factor
    if low <= height <= high:
        return None
    words = f'the camera would be {height:.3g} m above the road, {owner} camera at'
    return severity, f'{words} {low:.3g} to {high:.3g} m'


def _floor_fault(measured: list[Record], factor: float) -> tuple[str, str] | None:
    """Return severity and words if a room's floor is not as far as below a hand-held camera."""
    distances = _list_values(measured, 'floor_distance')
    if len(distances) < LEAST_FLOORS:
        return None
    low, high = HAND_HELD
    distance = float(np.median(distances)) * factor
    if low <= distance <= high:
        return None
    words = (
        f'the camera would be {distance:.3g} m above the floor, where it is held at {low:.3g} to '
        f'{high:.3g} m'
    )
    return 'warning', words


def _list_values(measured: list[Record], name: str) -> list[float]:
    """Return one attribute of the depth maps, of those in which it could be measured."""
    values = []
    for record in measured:
        value = getattr(record.values, name)
        if value is not None:
            values.append(value)
    return values


def _odd_maps(split: Split, measured: list[Record]) -> Iterator[Finding]:
    """Find maps of another unit or scale than the rest."""
    medians = np.array([record.values.median for record in measured])
    typical = float(np.median(medians))
    factors, is_odd = _scale_factors(measured)
    floor_factors, is_odd_floor = _floor_factors(measured)
    factors = np.where(is_odd_floor, floor_factors, factors)
    is_odd |= is_odd_floor
    is_other_unit = np.abs(np.log(medians / typical)) > np.log(OUTLIER_FACTOR)
    advice = 'these files are probably stored in another unit than the rest; convert or drop them'
    for selection, words in (
        (is_other_unit, f'{OUTLIER_FACTOR:g} times nearer or farther than the rest'),
        (is_odd & ~is_other_unit, 'of another scale than the rest'),
    ):
        odd = np.flatnonzero(selection)
        if not odd.size:
            continue
        examples = []
        for index in odd:
            median = f'{measured[index].depth.path}: median {medians[index]:.4g} m'
            examples.append(f'{median}, about {factors[index]:.2g} times the rest')
        message = f'{words} ({typical:.3g} m): {odd.size} of {len(measured)} maps'
        yield Finding('error', 'scale', split.name, message, advice, odd.size, shorten(examples))


def _two_scales(split: Split, measured: list[Record]) -> Iterator[Finding]:
    """Find two groups of maps of different scale that are both too large to be odd.

    Cars and people carry cameras at much the same height, so the heights above road or floor form
    one group.
    """
    for name, ground in (('camera_height', 'road'), ('floor_distance', 'floor')):
        seen = [record for record in measured if getattr(record.values, name) is not None]
        if len(seen) < LEAST_FOR_GROUPS:
            continue
        seen.sort(key=lambda record: getattr(record.values, name))
        logs = np.log(_list_values(seen, name))
        gaps = np.diff(logs)
        cut = int(gaps.argmax()) + 1
        distance = float(logs[cut:].mean() - logs[:cut].mean())
        smaller = min(seen[:cut], seen[cut:], key=len)
        is_apart = gaps[cut - 1] > GROUP_GAP * distance and distance > np.log(ODD_FACTOR)
        if not is_apart or len(smaller) < LEAST_HEIGHTS:
            continue
        low, high = np.exp(logs[:cut].mean()), np.exp(logs[cut:].mean())
        yield Finding(
            'warning',
            'scale',
            split.name,
            f'the camera is {low:.3g} m above the {ground} in {cut} maps and {high:.3g} m in '
            f'{len(seen) - cut}, {high / low:.2g} times as high',
            'the maps are stored with two scales, or they are of two kinds of cameras; name the '
            'right depth_scale by a data set of its own for each',
            len(smaller),
            shorten([record.depth.path for record in smaller]),
        )
        return


def _scale_factors(measured: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor by which each map differs from the rest, and if it exceeds their spread.

    A wrong scale moves near and far end, median and the camera's height alike. Their log values are
    averaged with generalized least squares, so that what varies least between the maps (the road at
    a car's feet) decides.
    """
    columns = []
    for name in ('low', 'median', 'high', 'camera_height'):
        values = _list_values(measured, name)
        if len(values) == len(measured):
            columns.append(values)
    logs = np.log(np.array(columns, np.float64).T)  # (maps, features)
    deviations = logs - np.median(logs, axis=0)
    if len(measured) < LEAST_FOR_SPREAD:
        return np.exp(deviations[:, 1]), np.zeros(len(measured), bool)
    spread = np.maximum(_spread(deviations), LEAST_SPREAD)
    # Clipped, so that the odd maps do not shape the correlation that is to find them.
    normal = np.clip(deviations / spread, -2.5, 2.5)
    # A tenth of the identity keeps the matrix invertible where two columns are nearly equal.
    correlation = 0.9 * (normal.T @ normal) / len(normal) + 0.1 * np.eye(len(spread))
    covariance = correlation * np.outer(spread, spread)
    # The estimate of least variance weighs by the inverse covariance, C^-1 1. A negative weight
    # would let a map that is twice too far look nearer.
    weights = np.linalg.solve(covariance, np.ones(len(spread))).clip(min=0)
    if not weights.any():
        weights = 1 / spread**2
    shifts = deviations @ (weights / weights.sum())
    shifts -= np.median(shifts)
    shift_spread = max(float(_spread(shifts[:, None])[0]), LEAST_SPREAD)
    limit = max(np.log(ODD_FACTOR), ODD_SIGMA * shift_spread)
    return np.exp(shifts), np.abs(shifts) > limit


def _floor_factors(measured: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Return how many times farther the floor is in each map than in the rest, and if it is odd.

    People hold cameras at much the same height, whatever the room; maps without a floor are never
    odd.
    """
    distances = np.array([record.values.floor_distance for record in measured], np.float64)
    if np.isfinite(distances).sum() < LEAST_FLOORS:
        return np.ones(len(measured)), np.zeros(len(measured), bool)
    shifts = np.log(distances) - np.nanmedian(np.log(distances))
    spread = max(float(_spread(shifts[np.isfinite(shifts), None])[0]), LEAST_SPREAD)
    limit = max(np.log(ODD_FACTOR), ODD_SIGMA * spread)
    return np.exp(shifts), np.nan_to_num(np.abs(shifts)) > limit


def _spread(deviations: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column, from its median deviation as if normal."""
    # 1 / 0.6745, the upper quartile of the normal distribution: outliers have no influence.
    return 1.4826 * np.median(np.abs(deviations), axis=0)


def beyond_range(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find a split with much ground truth beyond the range, which does not count."""
    if split.label_type != 'metric':
        return
    shares = []
    for record in records:
        if record.values and record.values.valid > 0:
            shares.append(record.values.beyond)
    if not shares:
        return
    share = float(np.mean(shares))
    if share > 0.25:
        yield Finding(
            'warning',
            'range',
            split.name,
            f'{share:.0%} of the ground truth lies beyond max_depth = {split.max_depth:g} m and '
            'does not count',
            'raise max_depth if that depth is meant to be learnt',
            len(shares),
        )


def valid_share(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find maps without any ground truth, and a split with hardly any."""
    measured = [record for record in records if record.values]
    empty = [record.depth.path for record in measured if record.values.valid == 0]
    if empty:
        severity = 'error' if len(empty) == len(measured) else 'warning'
        message = f'no valid pixel: {len(empty)} of {len(measured)} depth maps'
        advice = (
            'such images teach and score nothing; leave them out of the list, or look whether '
            'the files are damaged'
        )
        yield Finding(severity, 'valid', split.name, message, advice, len(empty), shorten(empty))
    filled = [record.values.valid for record in measured if record.values.valid > 0]
    if filled and np.median(filled) < LEAST_VALID:
        yield Finding(
            'error',
            'valid',
            split.name,
            f'only {np.median(filled):.4%} of the pixels have ground truth',
            'even one laser sweep gives more; look at the files with '
            'tools/analysis_tools/browse_dataset.py',
            len(filled),
        )


def invalid_values(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find NaN, infinite and negative values; loading turns them into 0, no ground truth."""
    write_zero = 'they are read as no ground truth; write 0 to say so'
    check_file = 'depth is never negative: check sign, unit and how the file was made'
    for severity, name, words, advice in (
        ('warning', 'nan', 'NaN', write_zero),
        ('warning', 'infinite', 'infinite values', write_zero),
        ('error', 'negative', 'negative values', check_file),
    ):
        examples = []
        for record in records:
            count = getattr(record.values, name) if record.values else 0
            if count:
                examples.append(f'{record.depth.path}: {count} pixels')
        if examples:
            message = f'{words}: {len(examples)} of {len(records)} depth maps'
            yield Finding(
                severity, name, split.name, message, advice, len(examples), shorten(examples)
            )


def _plausible(split: Split, count: int) -> tuple[float, float]:
    """Return (low, high) of the median over ``count`` maps, in metres."""
    if split.typical is None:
        return NEAREST_SHARE * split.max_depth, FARTHEST_SHARE * split.max_depth
    # `typical` is of the whole set: the median over few maps scatters around it.
    widening = float(np.exp(2 * MEDIAN_SPREAD / np.sqrt(count)))
    return split.typical[0] / widening, split.typical[1] * widening


def _histogram(medians: np.ndarray, max_depth: float) -> str:
    edges = [0, max_depth / 100, max_depth / 10, max_depth, np.inf]
    counts, _ = np.histogram(medians, edges)
    names = [f'below {edges[1]:.3g} m', f'to {edges[2]:.3g} m', f'to {edges[3]:.3g} m', 'beyond']
    shares = []
    for count, name in zip(counts, names, strict=True):
        if count:
            shares.append(f'{count} {name}')
    return f'maps by median: {", ".join(shares)}'


def _scale_advice(split: Split, measured: list[Record]) -> str:
    """Return the remedy of a wrong scale; another ``depth_scale`` only where all facts fit it."""
    sample = measured[0].sample
    if has_own_unit(sample):
        return (
            'the reader of this data set knows its unit, so these are other files than the '
            'released ones'
        )
    suffixes = {Path(record.sample['depth_path']).suffix.lower() for record in measured}
    if suffixes <= set(FLOAT_SUFFIXES):
        return (
            'these files hold metres, depth_scale does not apply; convert the files, or correct '
            'max_depth'
        )
    scale = sample.get('depth_scale', 1.0)
    farthest = float(np.median([record.values.high for record in measured]))
    fitting = []
    for candidate in COMMON_SCALES:
        if candidate == scale or _scale_fault(split, measured, scale / candidate) is not None:
            continue
        # A scale under which nothing is near max_depth, or most is beyond it, is no better advice.
        reach = farthest * scale / candidate
        if USED_SHARE / 2 * split.max_depth <= reach <= 2 * split.max_depth:
            fitting.append(f'{candidate:g}')
    advice = f'depth_scale={scale:g} (stored integers per metre) or max_depth is wrong'
    if fitting:
        advice += f'; depth_scale={" or ".join(fitting)} would fit'
    return advice
