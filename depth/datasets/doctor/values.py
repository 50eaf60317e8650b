"""Findings about depth values: a wrong scale, too few valid pixels, values that are no depth."""

from collections.abc import Iterator

import numpy as np

from .finding import Finding, some
from .listing import Split
from .probe import Record

# Metres, median over pixels and images, as real frames of these data sets have it; millimetres read as KITTI's 1/256 m
# or the reverse are off by a factor of 3.9.
TYPICAL_MEDIAN = {'nyu': 2.7, 'kitti': 13.5, 'kitti_benchmark': 13.5, 'sunrgbd': 2.4}
SCALE_FACTOR = 2.8  # between 1 and 1000 / 256
NEAREST_SHARE, FARTHEST_SHARE = 0.02, 0.9  # of the range, where no typical median is known
OUTLIER_FACTOR = 30.0  # between one map and its split: another unit
LEAST_VALID = 5e-4  # share of pixels; the sparsest known set (one laser sweep at 1216x1936) has 2e-3
COMMON_SCALES = (1.0, 100.0, 256.0, 1000.0, 5000.0, 10000.0)


def wrong_scale(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find a split whose depth cannot be in metres with this scale and range, and single maps of another unit."""
    measured = [record for record in records if record.values and record.values.median > 0]
    if not measured:
        return
    medians = np.array([record.values.median for record in measured])
    typical = float(np.median(medians))
    low, high = _plausible(split)
    if not low <= typical <= high:
        yield Finding(
            'error',
            'scale',
            split.name,
            f'the median depth is {typical:.4g} m, expected {low:.3g} to {high:.3g} m '
            f'({_histogram(medians, split.max_depth)})',
            _scale_advice(measured[0].sample, typical, low, high),
            len(measured),
        )
        return
    odd = [
        f'{record.depth.path}: median {record.values.median:.4g} m'
        for record in measured
        if not 1 / OUTLIER_FACTOR < record.values.median / typical < OUTLIER_FACTOR
    ]
    if odd:
        advice = 'these files are probably stored in another unit than the rest; convert or drop them'
        share = f'{len(odd)} of {len(measured)} maps'
        what = f'{OUTLIER_FACTOR:g} times nearer or farther than the rest ({typical:.3g} m): {share}'
        yield Finding('error', 'scale', split.name, what, advice, len(odd), some(odd))


def beyond_range(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Say how much ground truth the range leaves out."""
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
            some(empty),
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
        ('warning', 'infinite', 'infinite values', 'they are read as no ground truth; write 0 to say so'),
        ('error', 'negative', 'negative values', 'depth is never negative: check sign, unit and how the file was made'),
    ):
        bad = [record for record in records if record.values and getattr(record.values, name)]
        if bad:
            shown = some([f'{record.depth.path}: {getattr(record.values, name)} pixels' for record in bad])
            what = f'{words}: {len(bad)} of {len(records)} depth maps'
            yield Finding(severity, name, split.name, what, advice, len(bad), shown)


def _plausible(split: Split) -> tuple[float, float]:
    if split.dataset in TYPICAL_MEDIAN and not split.rendered:
        typical = TYPICAL_MEDIAN[split.dataset]
        return typical / SCALE_FACTOR, typical * SCALE_FACTOR
    return NEAREST_SHARE * split.max_depth, FARTHEST_SHARE * split.max_depth


def _histogram(medians: np.ndarray, max_depth: float) -> str:
    edges = [0, max_depth / 100, max_depth / 10, max_depth, np.inf]
    counts, _ = np.histogram(medians, edges)
    names = [f'below {edges[1]:.3g} m', f'to {edges[2]:.3g} m', f'to {edges[3]:.3g} m', 'beyond']
    return 'maps by median: ' + ', '.join(f'{count} {name}' for count, name in zip(counts, names, strict=True) if count)


def _scale_advice(sample: dict, typical: float, low: float, high: float) -> str:
    if sample.get('depth_reader'):
        return 'the reader of this data set knows its unit, so these are other files than the released ones'
    scale = sample.get('depth_scale', 1.0)
    fitting = [other for other in COMMON_SCALES if low <= typical * scale / other <= high]
    hint = f'; depth_scale={" or ".join(f"{other:g}" for other in fitting)} would fit' if fitting else ''
    return f'depth_scale={scale:g} (stored integers per metre) or max_depth is wrong{hint}'
