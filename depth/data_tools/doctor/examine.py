"""Examination of a config's data sets: probes the files, runs all checks, sums up each split."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from . import edges, files, leaks, listing, values
from .listing import Split, list_splits
from .probe import DepthValues, Record, probe_sample
from .report import SEVERITIES, Report

LIST_CHECKS = (listing.nothing_listed, listing.labels_without_metres, listing.split_count)
FILE_CHECKS = (
    files.missing_files,
    files.damaged_files,
    files.size_mismatches,
    files.shallow_depth,
    files.rotated_images,
    files.wrong_marker,
    values.wrong_scale,
    values.beyond_range,
    values.valid_share,
    values.invalid_values,
    leaks.listed_twice,
    files.implausible_intrinsics,
)
UNITS = dict(metric='m', inverse_depth='1/m')  # by type of labels; the others have none
Progress = Callable[[Iterator[Record], int], Iterator[Record]]


def examine(
    cfg: dict,
    full: bool = False,
    decode: int = 200,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check the data sets of a config.

    Every file's header and end are read; some images and depth maps are decoded.

    Args:
        cfg: With ``train_dataloader``, ``val_dataloader``, ``test_dataloader``, as far as there.
        full: Decode every image and depth map.
        decode: How many images and depth maps to decode in each split otherwise, evenly spread.
        workers: Threads; four a core by default, most of the time goes to waiting for the disk.
        progress: Wraps the iterator over records, and is told their number.
    """
    splits = list_splits(cfg)
    jobs = []
    for split in splits:
        jobs += _probe_jobs(split, full, decode)
    scores: dict[str, list[edges.EdgeScores]] = {}
    with ThreadPoolExecutor(workers or 4 * (os.cpu_count() or 1)) as pool:
        stream = pool.map(lambda job: probe_sample(*job), jobs)
        if progress is not None:
            stream = progress(stream, len(jobs))
        probed = list(stream)
        for split in splits:
            results = pool.map(lambda job: edges.edge_scores(*job), edges.edge_jobs(split.samples))
            scores[split.name] = [score for score in results if score is not None]
    records: dict[str, list[Record]] = {}
    start = 0
    for split in splits:
        records[split.name] = probed[start : start + len(split.samples)]
        start += len(split.samples)
    findings = []
    for split in splits:
        for check in LIST_CHECKS:
            findings += check(split)
    for split in splits:
        for check in FILE_CHECKS:
            findings += check(split, records[split.name])
    for split in splits:
        findings += edges.wrong_pairs(split, scores[split.name])
    findings += values.different_scales(splits, records)
    findings += leaks.same_content(splits, records)
    findings += leaks.shared_groups(splits)
    findings += leaks.reserved_scenes(splits)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    summaries = []
    for split in splits:
        summaries.append(_summarise(split, records[split.name], scores[split.name]))
    return Report(findings, summaries)


def _probe_jobs(split: Split, full: bool, decode: int) -> list[tuple[dict, bool, bool]]:
    """Return the arguments of :func:`~depth.data_tools.doctor.probe.probe_sample` by sample."""
    count = len(split.samples)
    decoded = set(range(count))
    if count and not full:
        # Evenly over the list, which is sorted by drive or scene in most data sets.
        positions = np.linspace(0, count - 1, min(decode, count)).round().astype(int)
        decoded = set(positions.tolist())
    jobs = []
    for index, sample in enumerate(split.samples):
        is_decoded = index in decoded
        jobs.append((sample, is_decoded, is_decoded))
    return jobs


def _summarise(split: Split, records: list[Record], scores: list[edges.EdgeScores]) -> dict:
    measured = [record.values for record in records if record.values]
    filled = [value for value in measured if value.valid]
    sizes = sorted({record.image.size for record in records if record.image.size})
    size_text = ', '.join(f'{width}x{height}' for width, height in sizes[:3])
    if len(sizes) > 3:
        size_text += f' and {len(sizes) - 3} more'
    rendered = ' (rendered)' if split.rendered else ''

    def statistic(
        function: Callable, values: list[DepthValues], name: str, digits: int = 3
    ) -> float | None:
        """Return a rounded statistic of one attribute, None without any map."""
        if not values:
            return None
        return round(float(function([getattr(value, name) for value in values])), digits)

    # Min and max are those of all maps together. The quantiles are those of the middle map,
    # because the pixels of all maps at once would not fit into memory.
    summary = dict(
        split=split.name,
        dataset=split.dataset + rendered,
        images=len(split.samples),
        decoded=len(measured),
        min=statistic(min, filled, 'nearest'),
        low=statistic(np.median, filled, 'low'),
        median=statistic(np.median, filled, 'median'),
        high=statistic(np.median, filled, 'high'),
        max=statistic(max, filled, 'farthest'),
        beyond=statistic(np.mean, filled, 'beyond', digits=4),
        valid=statistic(np.mean, measured, 'valid', digits=4),
        edges=edges.describe_edges(scores),
        sizes=size_text,
    )
    summary['unit'] = UNITS.get(split.label_type, '')
    if split.label_type != 'metric':
        summary['beyond'] = None
    summary['class'] = split.class_name
    summary['unchecked'] = split.missing_facts()
    return summary
