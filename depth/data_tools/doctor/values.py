"""Findings about depth values: a wrong scale, too few valid pixels, values that are no depth."""

from collections.abc import Iterator
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
LEAST_FLOORS = 8  # maps that show the floor
HAND_HELD = (0.3, 2.3)  # metres above the floor; the plane may be that of a table
LEAST_SPREAD = 0.03  # of a log depth: below it maps are equal
SPLIT_FACTOR, SPLIT_SIGMA = 1.5, 5.0  # between the splits of one data set
LEAST_VALID = (
    5e-4  # share of pixels; the sparsest known set (one laser sweep at 1216x1936) has 2e-3
)
COMMON_SCALES = (1.0, 100.0, 256.0, 1000.0, 5000.0, 10000.0)


def wrong_scale(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find a split whose depth cannot be in metres with this scale and range, and single maps of another unit."""
    measured = [record for record in records if record.values and record.values.median > 0]
    if not measured:
        return
    fault = _scale_fault(split, measured, 1.0)
    if fault:
        severity, message = fault
        advice = _scale_advice(split, measured)
        yield Finding(severity, 'scale', split.name, message, advice, len(measured))
        return
    yield from _odd_maps(split, measured)
    farthest = max(record.values.farthest for record in measured)
    if len(measured) >= LEAST_MAPS and farthest < USED_SHARE * split.max_depth:
        yield Finding(
            'warning',
            'range',
            split.name,
            f'the farthest ground truth is {farthest:.4g} m, max_depth is {split.max_depth:g} m',
            'right for near scenes, for which a smaller max_depth is better; otherwise depth_scale is too large',
            len(measured),
        )


def different_scales(splits: list[Split], records: dict[str, list[Record]]) -> Iterator[Finding]:
    """Find two splits of one data set whose depths differ by a factor, more than their spread allows."""
    logs = {}
    for split in splits:
        medians = []
        for record in records[split.name]:
            if record.values and record.values.median:
                medians.append(record.values.median)
        if len(medians) >= LEAST_MAPS:
            logs[split.name] = np.log(medians)
    for position, one in enumerate(splits):
        for two in splits[position + 1 :]:
            is_measured = one.name in logs and two.name in logs
            if one.dataset != two.dataset or not is_measured:
                continue
            difference = float(logs[one.name].mean() - logs[two.name].mean())
            error = np.sqrt(
                sum(logs[split.name].var(ddof=1) / len(logs[split.name]) for split in (one, two))
            )
            if abs(difference) > np.log(SPLIT_FACTOR) and abs(difference) > SPLIT_SIGMA * error:
                yield Finding(
                    'warning',
                    'scale',
                    f'{one.name}, {two.name}',
                    f'median depths of {np.exp(logs[one.name].mean()):.3g} and {np.exp(logs[two.name].mean()):.3g} m',
                    'the splits show other scenes, or one of them is stored with another scale; compare pictures with '
                    'tools/analysis_tools/browse_dataset.py',
                    len(logs[one.name]) + len(logs[two.name]),
                )


def _scale_fault(split: Split, measured: list[Record], factor: float) -> tuple[str, str] | None:
    """Return severity and words for depths that, times ``factor``, are none of this data set; None if they may be."""
    medians = np.array([record.values.median for record in measured]) * factor
    typical = float(np.median(medians))
    low, high = _plausible(split, len(measured))
    if not low <= typical <= high:
        source = 'this data set has' if split.typical else 'expected'
        words = f'the median depth is {typical:.4g} m, {source} {low:.3g} to {high:.3g} m'
        return 'error', f'{words} ({_histogram(medians, split.max_depth)})'
    if split.camera_height is None and split.max_depth < FAR_RANGE:
        return _floor_fault(measured, factor) if split.typical is None else None
    return _road_fault(split, measured, factor)


def _road_fault(split: Split, measured: list[Record], factor: float) -> tuple[str, str] | None:
    """Return severity and words if the road is not where it is below a car's camera."""
    heights = [
        record.values.camera_height
        for record in measured
        if record.values.camera_height is not None
    ]
    is_known = split.camera_height is not None
    if len(heights) < (1 if is_known else LEAST_HEIGHTS) or 2 * len(heights) < len(measured):
        return None
    low, high = split.camera_height or ROAD_CAMERAS
    height = float(np.median(heights)) * factor
    if low <= height <= high:
        return None
    words = f'the camera would be {height:.3g} m above the road, {"its" if is_known else "a car has its"} camera at'
    return 'error' if is_known else 'warning', f'{words} {low:.3g} to {high:.3g} m'


def _floor_fault(measured: list[Record], factor: float) -> tuple[str, str] | None:
    """Return severity and words if the floor of rooms is not where it is below a camera that somebody holds."""
    distances = [
        record.values.floor_distance
        for record in measured
        if record.values.floor_distance is not None
    ]
    if len(distances) < LEAST_FLOORS:
        return None
    low, high = HAND_HELD
    distance = float(np.median(distances)) * factor
    if low <= distance <= high:
        return None
    words = f'the camera would be {distance:.3g} m above the floor, where it is held at {low:.3g} to {high:.3g} m'
    return 'warning', words


def _odd_maps(split: Split, measured: list[Record]) -> Iterator[Finding]:
    """Find maps of another unit or scale than the rest."""
    medians = np.array([record.values.median for record in measured])
    typical = float(np.median(medians))
    factors, is_odd = _scale_factors(measured)
    floor_factors, is_odd_floor = _floor_factors(measured)
    factors = np.where(is_odd_floor, floor_factors, factors)
    is_odd |= is_odd_floor
    is_other_unit = np.abs(np.log(medians / typical)) > np.log(OUTLIER_FACTOR)
    for severity, selection, words in (
        (
            'error',
            is_other_unit,
            f'{OUTLIER_FACTOR:g} times nearer or farther than the rest ({typical:.3g} m)',
        ),
        ('error', is_odd & ~is_other_unit, f'of another scale than the rest ({typical:.3g} m)'),
    ):
        odd = np.flatnonzero(selection)
        if odd.size:
            examples = []
            for index in odd:
                scale = f'about {factors[index]:.2g} times the rest'
                examples.append(
                    f'{measured[index].depth.path}: median {medians[index]:.4g} m, {scale}'
                )
            advice = 'these files are probably stored in another unit than the rest; convert or drop them'
            message = f'{words}: {odd.size} of {len(measured)} maps'
            yield Finding(
                severity, 'scale', split.name, message, advice, odd.size, shorten(examples)
            )


def _scale_factors(measured: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Return by what factor each map, as a whole, differs from the rest, and whether that is more than their spread.

    A wrong scale moves near and far end, median and the camera's height alike. Their log values are
    averaged with generalized least squares, so that what varies least between the maps (the road at
    a car's feet) decides.
    """
    columns = [
        [getattr(record.values, name) for record in measured] for name in ('low', 'median', 'high')
    ]
    heights = [record.values.camera_height for record in measured]
    if all(height is not None for height in heights):
        columns.append(heights)
    logs = np.log(np.array(columns, np.float64).T)  # (maps, features)
    deviations = logs - np.median(logs, axis=0)
    if len(measured) < LEAST_FOR_SPREAD:
        return np.exp(deviations[:, 1]), np.zeros(len(measured), bool)
    spread = np.maximum(_spread(deviations), LEAST_SPREAD)
    normal = np.clip(
        deviations / spread, -2.5, 2.5
    )  # so that the odd ones do not shape the correlation
    correlation = 0.9 * (normal.T @ normal) / len(normal) + 0.1 * np.eye(len(spread))
    weights = np.linalg.solve(correlation * np.outer(spread, spread), np.ones(len(spread))).clip(
        min=0
    )
    if not weights.any():
        weights = 1 / spread**2
    shifts = deviations @ (weights / weights.sum())
    shifts -= np.median(shifts)
    limit = max(
        np.log(ODD_FACTOR), ODD_SIGMA * max(float(_spread(shifts[:, None])[0]), LEAST_SPREAD)
    )
    return np.exp(shifts), np.abs(shifts) > limit


def _floor_factors(measured: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Return by what factor the camera is farther from the floor in each map than in the rest, and whether it is odd.

    People hold cameras at much the same height, whatever the room; maps without a floor are never
    odd.
    """
    distances = np.array([record.values.floor_distance or np.nan for record in measured])
    if np.isfinite(distances).sum() < LEAST_FLOORS:
        return np.ones(len(measured)), np.zeros(len(measured), bool)
    shifts = np.log(distances) - np.nanmedian(np.log(distances))
    spread = max(float(_spread(shifts[np.isfinite(shifts), None])[0]), LEAST_SPREAD)
    limit = max(np.log(ODD_FACTOR), ODD_SIGMA * spread)
    return np.exp(shifts), np.nan_to_num(np.abs(shifts)) > limit


def _spread(deviations: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column that a normal distribution of this median deviation has."""
    return 1.4826 * np.median(np.abs(deviations), axis=0)


def beyond_range(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find a split with much ground truth beyond the range, which does not count."""
    measured = [record.values for record in records if record.values and record.values.valid > 0]
    if not measured:
        return
    share = float(np.mean([values.beyond for values in measured]))
    if share > 0.25:
        yield Finding(
            'warning',
            'range',
            split.name,
            f'{share:.0%} of the ground truth lies beyond max_depth = {split.max_depth:g} m and does not count',
            'raise max_depth if that depth is meant to be learnt',
            len(measured),
        )


def valid_share(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find maps without any ground truth, and a split with hardly any."""
    measured = [record for record in records if record.values]
    empty = [record.depth.path for record in measured if record.values.valid == 0]
    if empty:
        yield Finding(
            'error' if len(empty) == len(measured) else 'warning',
            'valid',
            split.name,
            f'no valid pixel: {len(empty)} of {len(measured)} depth maps',
            'such images teach and score nothing; leave them out of the list, or look whether the files are damaged',
            len(empty),
            shorten(empty),
        )
    filled = [record.values.valid for record in measured if record.values.valid > 0]
    if filled and np.median(filled) < LEAST_VALID:
        yield Finding(
            'error',
            'valid',
            split.name,
            f'only {np.median(filled):.4%} of the pixels have ground truth',
            'even one laser sweep gives more; look at the files with tools/analysis_tools/browse_dataset.py',
            len(filled),
        )


def invalid_values(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find NaN, infinite and negative values; loading turns them into 0, no ground truth."""
    for severity, name, words, advice in (
        ('warning', 'nan', 'NaN', 'they are read as no ground truth; write 0 to say so'),
        (
            'warning',
            'infinite',
            'infinite values',
            'they are read as no ground truth; write 0 to say so',
        ),
        (
            'error',
            'negative',
            'negative values',
            'depth is never negative: check sign, unit and how the file was made',
        ),
    ):
        records_with = [
            record for record in records if record.values and getattr(record.values, name)
        ]
        if records_with:
            examples = []
            for record in records_with:
                examples.append(f'{record.depth.path}: {getattr(record.values, name)} pixels')
            message = f'{words}: {len(records_with)} of {len(records)} depth maps'
            yield Finding(
                severity, name, split.name, message, advice, len(records_with), shorten(examples)
            )


def _plausible(split: Split, count: int) -> tuple[float, float]:
    """Return (low, high) of the median over ``count`` maps, in metres."""
    if split.typical is None:
        return NEAREST_SHARE * split.max_depth, FARTHEST_SHARE * split.max_depth
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
    """Return what to do about a wrong scale; another ``depth_scale`` only where all that is known goes with it."""
    sample = measured[0].sample
    if has_own_unit(sample):
        return 'the reader of this data set knows its unit, so these are other files than the released ones'
    if all(
        Path(record.sample['depth_path']).suffix.lower() in FLOAT_SUFFIXES for record in measured
    ):
        return 'these files hold metres, depth_scale does not apply; convert the files, or correct max_depth'
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
    hint = f'; depth_scale={" or ".join(fitting)} would fit' if fitting else ''
    return f'depth_scale={scale:g} (stored integers per metre) or max_depth is wrong{hint}'
