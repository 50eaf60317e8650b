"""Run all checks."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from . import cameras, counts, duplicates, edges, files, leakage, values
from .finding import SEVERITIES, Finding
from .listing import Split, list_splits
from .probe import Record, probe_sample

LIST_CHECKS = (counts.nothing_listed, counts.split_count)
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
    duplicates.listed_twice,
    cameras.implausible_intrinsics,
)
Progress = Callable[[Iterator[Record], int], Iterator[Record]]


@dataclass
class Report:
    """The outcome.

    Attributes:
        findings: Errors first.
        summaries: Per split: ``split``, ``dataset``, ``images``, ``decoded`` depth maps, their ``min``, ``low`` (1 %),
            ``median``, ``high`` (99 %) and ``max`` (metres; min and max over all maps, the others of the middle map),
            share ``beyond`` the range, ``valid`` share, ``edges`` (text), ``sizes`` (text).
    """

    findings: list[Finding]
    summaries: list[dict]

    @property
    def failed(self) -> bool:
        """Whether there is an error."""
        return any(finding.severity == 'error' for finding in self.findings)

    def as_dict(self) -> dict:
        """Return plain values."""
        return dict(summaries=self.summaries, findings=[finding.as_dict() for finding in self.findings])


def examine(
    cfg: dict, full: bool = False, decode: int = 200, workers: int | None = None, progress: Progress | None = None
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
    jobs = [job for split in splits for job in _jobs(split, full, decode)]
    with ThreadPoolExecutor(workers or 4 * (os.cpu_count() or 1)) as pool:
        found = pool.map(lambda job: probe_sample(*job), jobs)
        probed = list(progress(found, len(jobs)) if progress else found)
        scores = {}
        for split in splits:
            found_scores = pool.map(lambda job: edges.edge_scores(*job), edges.edge_jobs(split.samples))
            scores[split.name] = [score for score in found_scores if score is not None]
    records, start = {}, 0
    for split in splits:
        records[split.name] = probed[start : start + len(split.samples)]
        start += len(split.samples)
    findings = [finding for split in splits for check in LIST_CHECKS for finding in check(split)]
    findings += [finding for split in splits for check in FILE_CHECKS for finding in check(split, records[split.name])]
    findings += [finding for split in splits for finding in edges.wrong_pairs(split, scores[split.name])]
    findings += values.different_scales(splits, records)
    findings += duplicates.same_content(splits, records)
    findings += leakage.shared_groups(splits)
    findings += leakage.eigen_test_drives(splits)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(findings, [_summary(split, records[split.name], scores[split.name]) for split in splits])


def _jobs(split: Split, full: bool, decode: int) -> list[tuple[dict, bool, bool]]:
    count = len(split.samples)
    chosen = set(np.linspace(0, count - 1, min(decode, count)).round().astype(int).tolist()) if count else set()
    return [(sample, full or index in chosen, full or index in chosen) for index, sample in enumerate(split.samples)]


def _summary(split: Split, records: list[Record], scores: list[edges.EdgeScores]) -> dict:
    measured = [record.values for record in records if record.values]
    filled = [value for value in measured if value.valid]
    sizes = sorted({record.image.size for record in records if record.image.size})
    shown = ', '.join(f'{width}x{height}' for width, height in sizes[:3])

    def middle(name: str) -> float | None:
        return round(float(np.median([getattr(value, name) for value in filled])), 3) if filled else None

    return dict(
        split=split.name,
        dataset=split.dataset + (' (rendered)' if split.rendered else ''),
        images=len(split.samples),
        decoded=len(measured),
        min=round(min(value.nearest for value in filled), 3) if filled else None,
        low=middle('low'),
        median=middle('median'),
        high=middle('high'),
        max=round(max(value.farthest for value in filled), 3) if filled else None,
        beyond=round(float(np.mean([value.beyond for value in filled])), 4) if filled else None,
        valid=round(float(np.mean([value.valid for value in measured])), 4) if measured else None,
        edges=edges.describe_edges(scores),
        sizes=shown + (f' and {len(sizes) - 3} more' if len(sizes) > 3 else ''),
    )
