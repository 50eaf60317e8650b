"""Sections of a report from stored results: protocols, metrics, comparisons, curves and configs."""

import math
from collections.abc import Sequence

import numpy as np

from depth.evaluation.detail import BIN_METRICS, split_bin_name
from depth.evaluation.functional import HIGHER_IS_BETTER
from depth.evaluation.per_image import check_comparable, paired_values
from depth.evaluation.statistics import compare_paired
from depth.visualization import report_page as html

from .report_content import Report, number, number_with_interval
from .report_runs import Run, config_difference, read_config, read_scalars, scene_pattern, scenes_of

COMPARED_METRICS = ('abs_rel', 'rmse', 'silog', 'd1')
DEFINITION_KEYS = (
    'min_depth', 'max_depth', 'crop', 'alignment', 'clamp', 'resize', 'average',
    'silog', 'log10', 'view', 'tta',
)  # fmt: skip
HIGHER_MARK = '\u2191'  # behind metrics of which a higher value is better
MAX_SCENES = 30  # rows of the table of scenes, worst first
MAX_CONFIG_ROWS = 200
CURVES = ('loss', 'lr', 'grad_norm')
VALIDATION_CURVES = ('val/abs_rel', 'val/rmse', 'val/d1')


def add_protocols(report: Report, runs: Sequence[Run]) -> None:
    """Add protocol, fingerprint and calibration of every run, and a warning if they differ."""
    content = []
    if len({run.fingerprint for run in runs}) > 1:
        content.append(
            html.element(
                'p',
                'The results were obtained under different protocols. Their numbers stand in '
                'tables of their own and are not compared.',
                class_='warning',
            )
        )
    header = ['result', 'protocol', 'fingerprint', 'images', 'left out', 'predictions', 'TTA used']
    is_calibrated = any(run.result.protocol.get('calibration') for run in runs)
    if is_calibrated:
        header.append('calibration')
    rows = []
    for run in runs:
        described = run.result.protocol
        version = f'{described["name"]} v{described["version"]}'
        row = [run.label, version, described['fingerprint'], str(len(run.result.images))]
        for key in ('num_skipped', 'prediction_type', 'tta_used'):
            row.append(_plain_text(described.get(key)))
        if is_calibrated:
            row.append(described.get('calibration') or 'none')
        rows.append(row)
    content.append(html.table(header, rows, [3, 4]))
    for fingerprint, described in {run.fingerprint: run.result.protocol for run in runs}.items():
        pairs = [(key, _plain_text(described.get(key))) for key in DEFINITION_KEYS]
        content.append(html.element('h3', f'Definition of {described["name"]} ({fingerprint})'))
        content.append(html.element('p', _plain_text(described.get('description')), class_='note'))
        content.append(html.definitions(pairs))
    report.add('Protocol', *content)
    if not is_calibrated:
        report.leave_out('Calibration', 'No result was predicted by a calibrated model.')


def _plain_text(value: object) -> str:
    if value is None:
        return 'none'
    if isinstance(value, list):
        return ', '.join(map(str, value))
    return str(value)


def add_metrics(report: Report, runs: Sequence[Run], suffix: str) -> None:
    """Add all metrics but those by distance, with intervals."""
    names = []
    for run in runs:
        names += [name for name in run.result.values if split_bin_name(name) is None]
    names = list(dict.fromkeys(names))
    rows = []
    for name in names:
        row = [f'{name} {HIGHER_MARK}' if name in HIGHER_IS_BETTER else name]
        for run in runs:
            row += _interval_cells(report, run, name)
        rows.append(row)
    header = ['metric']
    for run in runs:
        header += [run.label, f'{report.level:.0%} interval']
    average = runs[0].result.protocol['average']
    note = (
        f'Intervals: percentile bootstrap over images, {report.num_resamples} resamples. They '
        'describe the choice of test images, not the variation between trainings.'
        f' {HIGHER_MARK}: higher is better.'
    )
    if average != 'image':
        note += (
            f' The protocol averages otherwise ({average}): values are those of the test, '
            'intervals and everything below those of the mean over images.'
        )
    numbers = list(range(1, len(header)))
    report.add(
        f'Metrics{suffix}',
        html.table(header, rows, numbers),
        html.element('p', note, class_='note'),
    )


def _interval_cells(report: Report, run: Run, name: str) -> list[str]:
    """Return value and interval of a metric as texts."""
    if name not in run.result.values:
        return ['-', '-']
    bar = report.bar(run.result.values[name])
    # A protocol may weight pixels instead of images: then its own value counts.
    value = bar.mean
    if run.result.protocol['average'] != 'image':
        value = run.metrics.get(name, math.nan)
    if not math.isfinite(bar.mean):
        return ['-', '-']
    return [number(value), f'{bar.low:.4f} to {bar.high:.4f}']


def add_distances(report: Report, runs: Sequence[Run], suffix: str) -> None:
    """Add the metrics of the bins of true distance."""
    labels = []
    for run in runs:
        for name in run.result.values:
            split = split_bin_name(name)
            if split is not None:
                labels.append(split[1])
    labels = list(dict.fromkeys(labels))
    if not labels:
        report.leave_out(
            f'By distance{suffix}',
            'The test has no distance_bins; test with test_evaluator.distance_bins=[0,2,4,...].',
        )
        return
    rows, charts = [], []
    for metric in BIN_METRICS:
        bars_of_runs = []
        for run in runs:
            bars = []
            for label in labels:
                values = run.result.values.get(f'{metric}_{label}', np.array([math.nan]))
                bars.append(report.bar(values))
            bars_of_runs.append(bars)
            rows.append([f'{metric}, {run.label}', *[number(bar.mean) for bar in bars]])
        chart = html.interval_chart(labels, bars_of_runs, 'true distance', metric)
        charts.append(
            html.figure(chart, f'{metric} by distance, mean over the images that have it')
        )
    charts.append(html.table(('', *labels), rows, range(1, len(labels) + 1)))
    report.add(
        f'By distance{suffix}',
        html.legend([run.label for run in runs]),
        html.element('div', html.join(charts), class_='charts'),
    )


def add_scenes(report: Report, runs: Sequence[Run], suffix: str, pattern: str | None) -> None:
    """Add ``abs_rel`` by scene, worst first."""
    heading = f'By scene{suffix}'
    first = runs[0].result
    pattern = pattern or scene_pattern(first.protocol)
    if pattern is None:
        report.leave_out(
            heading, 'The data set does not tell the scene of an image; --scenes REGEX does.'
        )
        return
    scenes_by_image = dict(zip(first.images, scenes_of(first.images, pattern), strict=True))
    names = sorted({scene for scene in scenes_by_image.values() if scene is not None})
    if not names:
        report.leave_out(heading, f'No name of an image matches the scene pattern {pattern}.')
        return
    rows = []
    for name in names:
        row = [name, str(sum(scene == name for scene in scenes_by_image.values()))]
        means = []
        for run in runs:
            inside = np.array([scenes_by_image[image] == name for image in run.result.images])
            bar = report.bar(run.result.values['abs_rel'][inside])
            means.append(bar.mean)
            row.append(number_with_interval(bar))
        rows.append((means[0], row))
    rows.sort(key=lambda item: -item[0] if math.isfinite(item[0]) else math.inf)
    note = f'{len(names)} scenes, abs_rel, worst first by {runs[0].label}'
    if len(rows) > MAX_SCENES:
        note += f'; the worst {MAX_SCENES} are shown'
    header = ['scene', 'images', *[run.label for run in runs]]
    shown = [row for _, row in rows[:MAX_SCENES]]
    report.add(
        heading,
        html.table(header, shown, range(1, len(header))),
        html.element('p', f'{note}. Intervals of few images are too narrow.', class_='note'),
    )


def objection_to_comparison(first: Run, second: Run) -> str | None:
    """Return why two results cannot be compared, None if they can."""
    try:
        check_comparable(first.result, second.result)
    except ValueError as error:
        return str(error)
    return None


def add_comparisons(report: Report, runs: Sequence[Run]) -> None:
    """Add the paired comparison of every further run with the first, or why there is none."""
    if len(runs) < 2:
        report.leave_out('Paired comparison', 'It needs two results.')
        return
    content = []
    first = runs[0]
    for second in runs[1:]:
        content.append(html.element('h3', f'A: {first.label}, B: {second.label}'))
        objection = objection_to_comparison(first, second)
        if objection is not None:
            content.append(html.element('p', f'Not compared: {objection}', class_='warning'))
            continue
        rows = []
        for metric in COMPARED_METRICS:
            values = paired_values(first.result, second.result, metric)
            if not len(values[0]):
                continue
            comparison = compare_paired(*values, report.num_resamples, report.level)
            change = comparison.difference
            rows.append(
                (
                    metric,
                    number(comparison.first.mean),
                    number(comparison.second.mean),
                    f'{change.mean:+.4f} ({change.low:+.4f} to {change.high:+.4f})',
                    f'{comparison.p_value:.4f}',
                    f'{comparison.wins:.0%}',
                    _verdict(metric, change.low, change.high),
                )
            )
        header = ('metric', 'A', 'B', 'B \u2212 A', 'p', 'B lower', 'B is')
        content.append(html.table(header, rows, range(1, 7)))
    content.append(
        html.element(
            'p',
            'Paired by image: bootstrap interval of the mean difference, two-sided p of the '
            'sign-flip permutation test, share of images on which B is lower. The p-values are not '
            'corrected for the number of metrics.',
            class_='note',
        )
    )
    report.add('Paired comparison', *content)


def _verdict(metric: str, low: float, high: float) -> str:
    """Return whether the interval of a difference shows one, as a word."""
    if low <= 0 <= high:
        return 'not told apart'
    is_better = (low > 0) == (metric in HIGHER_IS_BETTER)
    return 'better' if is_better else 'worse'


def add_curves(report: Report, runs: Sequence[Run], suffix: str) -> None:
    """Add the training curves of the runs that have logged values."""
    scalars = [{} if run.training is None else read_scalars(run.training) for run in runs]
    charts = []
    for name in (*CURVES, *VALIDATION_CURVES):
        lines = []
        for run, values in zip(runs, scalars, strict=True):
            points = values.get(name, np.full((1, 2), math.nan))
            lines.append(html.Series(run.label, points[:, 0], points[:, 1]))
        if any(name in values for values in scalars):
            chart = html.line_chart(lines, 'iteration', name.removeprefix('val/'))
            caption = f'{name.removeprefix("val/")} of the validation' if '/' in name else name
            charts.append(html.figure(chart, caption))
    missing = [run.label for run, values in zip(runs, scalars, strict=True) if not values]
    if missing:
        report.leave_out(
            f'Training curves of {", ".join(missing)}',
            'There is no scalars.json beside the test; --training WORK_DIR names the folder of the '
            'training.',
        )
    if charts:
        report.add(
            f'Training curves{suffix}',
            html.legend([run.label for run in runs]),
            html.element('div', html.join(charts), class_='charts'),
        )


def add_config_difference(report: Report, runs: Sequence[Run]) -> None:
    """Add the values in which the configs of every further run and of the first differ."""
    heading = 'Config difference'
    if len(runs) < 2:
        report.leave_out(heading, 'It needs two results.')
        return
    configs = [read_config(run.config_folder) for run in runs]
    content = []
    for run, config in zip(runs[1:], configs[1:], strict=True):
        labels = f'{runs[0].label} and {run.label}'
        if configs[0] is None or config is None:
            report.leave_out(
                f'{heading} of {labels}', 'The folder of one of them has no vis_data/config.py.'
            )
            continue
        rows = config_difference(configs[0], config)
        if not rows:
            content.append(html.element('p', f'{labels}: the configs are equal.'))
            continue
        content.append(
            html.table(('key', runs[0].label, run.label), rows[:MAX_CONFIG_ROWS], code=True)
        )
        if len(rows) > MAX_CONFIG_ROWS:
            note = f'{len(rows)} values differ, the first {MAX_CONFIG_ROWS} are shown.'
            content.append(html.element('p', note, class_='note'))
    if content:
        report.add(heading, *content)
