"""Report of tests as one HTML file for reading offline: intervals, charts and error maps."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mmengine.config import Config

from depth.atomic_write import write_atomically
from depth.visualization import report_page as html

from .report_content import Report
from .report_maps import add_bands, add_error_curve, add_images, add_scales, check_same_result
from .report_predictions import PredictionReader
from .report_results import (
    add_comparisons,
    add_config_difference,
    add_curves,
    add_distances,
    add_metrics,
    add_protocols,
    add_scenes,
    objection_to_comparison,
)
from .report_runs import Run, read_runs


def write_report(
    results: Sequence[str | Path],
    out: str | Path,
    *,
    names: Sequence[str] = (),
    protocol: str | None = None,
    predictions: Sequence[str | Path] = (),
    dataset_config: str | Path | Config | None = None,
    cfg_options: dict | None = None,
    training: Sequence[str | Path] = (),
    scenes: str | None = None,
    num_images: int = 4,
    level: float = 0.95,
    num_resamples: int = 10_000,
    title: str = 'Depth report',
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[tuple[str, str]]:
    """Write a report of one test or of several.

    Results under different protocols (fingerprints) or of different images stand one below the
    other and are not compared; the page gives the reason.

    Args:
        results: Test folders, work dirs or files, see :func:`depth.evaluation.per_image.find_file`.
            The first is the one that the others are compared with.
        out: HTML file.
        names: Names of the results in the report.
        protocol: Name; by default each test's main protocol.
        predictions: Predictions of each result, as ``tools/test.py --out`` writes them.
        dataset_config: Config of the images and the ground truth of ``predictions``.
        cfg_options: Values by dotted key that replace those of ``dataset_config``.
        training: Work dir of each result's training, for its curves and its config.
        scenes: Regular expression of the scene in an image's name; by default that of the data set.
        num_images: Number of worst images, and of median ones.
        level: Coverage of the intervals.
        num_resamples: Resamples of the bootstrap and the permutation test.
        title: Of the page.
        progress: Wraps the loop over images.

    Returns:
        The sections that were left out, each with the reason.

    Raises:
        FileNotFoundError: If a result, a folder or a prediction is not there.
        ValueError: If a file is damaged or arguments do not fit.
        OSError: If the report cannot be written.
    """
    if not results:
        raise ValueError('a report needs at least one result')
    if bool(predictions) != (dataset_config is not None):
        raise ValueError(
            'predictions and dataset_config belong together: maps need the images and the ground '
            'truth'
        )
    if predictions and len(predictions) != len(results):
        raise ValueError(
            f'predictions: need one a result, got {len(predictions)} for {len(results)} results'
        )
    if num_images < 1:
        raise ValueError(f'num_images is at least 1, got {num_images}')
    if not 0 < level < 1:
        raise ValueError(f'level is above 0 and below 1, got {level}')
    runs = read_runs(results, names, training, protocol)
    report = Report(level, num_resamples)
    add_protocols(report, runs)
    sets = _comparable_sets(runs)
    for runs_of_set in sets:
        suffix = _suffix(runs_of_set, sets)
        add_metrics(report, runs_of_set, suffix)
        add_distances(report, runs_of_set, suffix)
        add_scenes(report, runs_of_set, suffix, scenes)
    add_comparisons(report, runs)
    if predictions:
        readers, errors = {}, {}
        for run, folder in zip(runs, predictions, strict=True):
            reader = PredictionReader(folder, dataset_config, run.result.protocol, cfg_options)
            readers[run.label] = reader
            errors[run.label] = reader.measure(progress)
            check_same_result(run, errors[run.label])
        for runs_of_set in sets:
            suffix = _suffix(runs_of_set, sets)
            measured = [errors[run.label] for run in runs_of_set]
            add_error_curve(report, runs_of_set, measured, suffix)
            add_bands(report, runs_of_set, measured, suffix)
            add_scales(report, runs_of_set, measured, suffix)
        for run in runs:
            suffix = '' if len(runs) == 1 else f': {run.label}'
            add_images(report, readers[run.label], errors[run.label], num_images, suffix)
    else:
        for heading in (
            'Error against distance', 'By image gradient', 'Near depth edges', 'Scale per image',
            'Worst and median images',
        ):  # fmt: skip
            report.leave_out(heading, 'It needs the maps: give --predictions and --dataset-config.')
    for runs_of_set in sets:
        add_curves(report, runs_of_set, _suffix(runs_of_set, sets))
    add_config_difference(report, runs)
    if report.left_out:
        report.add('Not in this report', html.table(('section', 'reason'), report.left_out))
    labels = ', '.join(run.label for run in runs)
    content = html.page(title, labels, report.sections)
    # File names may hold bytes that are no text; the page shows them as escapes.
    write_atomically(out, content.encode('utf-8', 'backslashreplace'))
    return report.left_out


def _comparable_sets(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs in sets of one protocol and the same images, in their order."""
    sets: list[list[Run]] = []
    for run in runs:
        for members in sets:
            if objection_to_comparison(members[0], run) is None:
                members.append(run)
                break
        else:
            sets.append([run])
    return sets


def _suffix(runs: Sequence[Run], sets: Sequence[Sequence[Run]]) -> str:
    """Return the end of a heading that names the runs, '' if there is one set of them."""
    return '' if len(sets) == 1 else f': {", ".join(run.label for run in runs)}'
