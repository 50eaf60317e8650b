"""Report of tests as one HTML file that opens offline: numbers with intervals, charts and error maps."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config

from depth.atomic_write import write_atomically
from depth.evaluation import error_breakdown as breakdown
from depth.evaluation.detail import BIN_METRICS, split_bin_name
from depth.evaluation.functional import HIGHER_IS_BETTER
from depth.evaluation.per_image import check_comparable, paired_values
from depth.evaluation.statistics import bootstrap_mean, compare_paired
from depth.visualization import colorize_depth, colorize_error
from depth.visualization import report_page as html

from .report_data import (
    SAME_RESULT,
    Maps,
    PredictionErrors,
    PredictionReader,
    Run,
    config_difference,
    read_config,
    read_runs,
    read_scalars,
    scene_pattern,
    scenes_of,
)

COMPARED_METRICS = ('abs_rel', 'rmse', 'silog', 'd1')
DEFINITION_KEYS = (
    'min_depth', 'max_depth', 'crop', 'alignment', 'clamp', 'resize', 'average',
    'silog', 'log10', 'view', 'tta',
)  # fmt: skip
HIGHER_MARK = '\u2191'  # behind metrics of which a higher value is better
MAX_SCENES = 30  # rows of the table of scenes, worst first
MAX_CONFIG_ROWS = 200
WIDE_RATIO = 2.2  # wider images, such as KITTI's, stand two in a row in place of four
ERROR_SHARE = 0.3  # relative error at the bright end of error maps
CURVES = ('loss', 'lr', 'grad_norm')
VALIDATION_CURVES = ('val/abs_rel', 'val/rmse', 'val/d1')


@dataclass
class _Report:
    """Sections as they are made, and the reasons why others are not."""

    level: float
    num_resamples: int
    sections: list[tuple[str, html.Markup]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def add(self, heading: str, *content: str) -> None:
        """Add a section."""
        self.sections.append((heading, html.join(content)))

    def leave_out(self, heading: str, reason: str) -> None:
        """Note why a section is not there."""
        self.left_out.append((heading, reason))

    def bar(self, values: np.ndarray) -> html.Bar:
        """Return the mean of the finite values with its bootstrap interval, NaN without any."""
        values = np.asarray(values, np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            return html.Bar(math.nan, math.nan, math.nan)
        interval = bootstrap_mean(values, self.num_resamples, self.level)
        return html.Bar(interval.mean, interval.low, interval.high)


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
    report = _Report(level, num_resamples)
    _add_protocols(report, runs)
    sets = _comparable_sets(runs)
    for runs_of_set in sets:
        suffix = _suffix(runs_of_set, sets)
        _add_metrics(report, runs_of_set, suffix)
        _add_distances(report, runs_of_set, suffix)
        _add_scenes(report, runs_of_set, suffix, scenes)
    _add_comparisons(report, runs)
    if predictions:
        readers, errors = {}, {}
        for run, folder in zip(runs, predictions, strict=True):
            reader = PredictionReader(folder, dataset_config, run.result.protocol, cfg_options)
            readers[run.label] = reader
            errors[run.label] = reader.measure(progress)
            _check_same_result(run, errors[run.label])
        for runs_of_set in sets:
            suffix = _suffix(runs_of_set, sets)
            measured = [errors[run.label] for run in runs_of_set]
            _add_error_curve(report, runs_of_set, measured, suffix)
            _add_bands(report, runs_of_set, measured, suffix)
            _add_scales(report, runs_of_set, measured, suffix)
        for run in runs:
            suffix = '' if len(runs) == 1 else f': {run.label}'
            _add_images(report, readers[run.label], errors[run.label], num_images, suffix)
    else:
        for heading in (
            'Error against distance', 'By image gradient', 'Near depth edges', 'Scale per image',
            'Worst and median images',
        ):  # fmt: skip
            report.leave_out(heading, 'It needs the maps: give --predictions and --dataset-config.')
    for runs_of_set in sets:
        _add_curves(report, runs_of_set, _suffix(runs_of_set, sets))
    _add_config_difference(report, runs)
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
            if _objection(members[0], run) is None:
                members.append(run)
                break
        else:
            sets.append([run])
    return sets


def _suffix(runs: Sequence[Run], sets: Sequence[Sequence[Run]]) -> str:
    """Return the end of a heading that names the runs, '' if there is one set of them."""
    return '' if len(sets) == 1 else f': {", ".join(run.label for run in runs)}'


def _objection(first: Run, second: Run) -> str | None:
    """Return why two results cannot be compared, None if they can."""
    try:
        check_comparable(first.result, second.result)
    except ValueError as error:
        return str(error)
    return None


def _add_protocols(report: _Report, runs: Sequence[Run]) -> None:
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


def _add_metrics(report: _Report, runs: Sequence[Run], suffix: str) -> None:
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


def _interval_cells(report: _Report, run: Run, name: str) -> list[str]:
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
    return [_number(value), f'{bar.low:.4f} to {bar.high:.4f}']


def _add_distances(report: _Report, runs: Sequence[Run], suffix: str) -> None:
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
            rows.append([f'{metric}, {run.label}', *[_number(bar.mean) for bar in bars]])
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


def _number(value: float, digits: int = 4) -> str:
    return f'{value:.{digits}f}' if math.isfinite(value) else '-'


def _number_with_interval(bar: html.Bar) -> str:
    return f'{_number(bar.mean)} ({_number(bar.low)} to {_number(bar.high)})'


def _add_scenes(report: _Report, runs: Sequence[Run], suffix: str, pattern: str | None) -> None:
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
            row.append(_number_with_interval(bar))
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


def _add_comparisons(report: _Report, runs: Sequence[Run]) -> None:
    """Add the paired comparison of every further run with the first, or why there is none."""
    if len(runs) < 2:
        report.leave_out('Paired comparison', 'It needs two results.')
        return
    content = []
    first = runs[0]
    for second in runs[1:]:
        content.append(html.element('h3', f'A: {first.label}, B: {second.label}'))
        objection = _objection(first, second)
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
                    _number(comparison.first.mean),
                    _number(comparison.second.mean),
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


def _add_error_curve(
    report: _Report, runs: Sequence[Run], errors: Sequence[PredictionErrors], suffix: str
) -> None:
    """Add the signed relative error over the true distance."""
    lines = []
    for run, measured in zip(runs, errors, strict=True):
        edges = np.array(measured.distance_edges)
        centres = (edges[:-1] + edges[1:]) / 2
        low, median, high = (
            breakdown.error_quantile(measured.counts, share).numpy() for share in (0.1, 0.5, 0.9)
        )
        lines.append(html.Series(run.label, centres, median, low, high))
    chart = html.line_chart(lines, 'true distance in metres', '(prediction \u2212 truth) / truth')
    caption = (
        'Median and 10 to 90 % range over all pixels of a distance; errors beyond '
        f'{breakdown.ERROR_LIMIT:.0%} count as that. A line above 0: too far. One that falls: near '
        'points too far and far points too near.'
    )
    report.add(
        f'Error against distance{suffix}',
        html.legend([run.label for run in runs]),
        html.figure(chart, caption),
    )


def _add_bands(
    report: _Report, runs: Sequence[Run], errors: Sequence[PredictionErrors], suffix: str
) -> None:
    """Add ``abs_rel`` by image gradient and near depth edges."""
    _add_bands_of(
        report,
        f'By image gradient{suffix}',
        runs,
        [measured.by_gradient for measured in errors],
        breakdown.GRADIENT_BANDS,
        'quarters of the image gradient',
        'Pixels of each image in four equal groups by the gradient of its brightness (Sobel).',
    )
    _add_bands_of(
        report,
        f'Near depth edges{suffix}',
        runs,
        [measured.by_edge for measured in errors],
        breakdown.EDGE_BANDS,
        'distance to a true depth edge',
        f'An edge lies between two neighbours of which one is more than {breakdown.EDGE_RATIO:g} '
        'times as far.',
    )


def _add_bands_of(
    report: _Report,
    heading: str,
    runs: Sequence[Run],
    values: Sequence[Sequence[np.ndarray]],
    bands: Sequence[str],
    axis: str,
    note: str,
) -> None:
    """Add a chart and a table of ``abs_rel`` by band.

    Args:
        report: Receives the section.
        heading: Of the section.
        runs: The runs.
        values: For each run the values of every image, (bands,).
        bands: Names of the bands.
        axis: Label of the axis of bands.
        note: Definition of the bands.
    """
    bars_of_runs = [[report.bar(column) for column in np.stack(rows).T] for rows in values]
    if not any(math.isfinite(bar.mean) for bars in bars_of_runs for bar in bars):
        report.leave_out(heading, 'The ground truth is too sparse to tell where its edges are.')
        return
    rows = []
    for index, band in enumerate(bands):
        cells = [_number_with_interval(bars[index]) for bars in bars_of_runs]
        rows.append((band, *cells))
    labels = [run.label for run in runs]
    chart = html.interval_chart(bands, bars_of_runs, axis, 'abs_rel')
    caption = f'{note} Mean over images with its {report.level:.0%} interval.'
    table = html.table(('abs_rel', *labels), rows, range(1, len(labels) + 1))
    pair = html.join([html.figure(chart, caption), table])
    report.add(heading, html.legend(labels), html.element('div', pair, class_='charts'))


def _check_same_result(run: Run, measured: PredictionErrors) -> None:
    """Check that predictions give the numbers of their result.

    Raises:
        ValueError: If they belong to another result.
    """
    stated = float(np.nanmean(run.result.values['abs_rel']))
    actual = float(np.mean(measured.abs_rel))
    if abs(actual - stated) > SAME_RESULT * stated + 1e-4:
        raise ValueError(
            f'predictions of {run.label} have abs_rel {actual:.4f} over {len(measured.names)} '
            f'images, the result states {stated:.4f} over {len(run.result.images)}; give the '
            'predictions of the same test and the config of its data set'
        )


def _add_scales(
    report: _Report, runs: Sequence[Run], errors: Sequence[PredictionErrors], suffix: str
) -> None:
    """Add the ratio of prediction and ground truth of each image."""
    scales, rows, labels = [], [], []
    for run, measured in zip(runs, errors, strict=True):
        if not measured.scale:
            report.leave_out(
                f'Scale per image: {run.label}', 'Its predictions are known up to a factor only.'
            )
            continue
        values = np.array(measured.scale)
        low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
        within = float((np.abs(np.log(values)) <= math.log(1.1)).mean())
        labels.append(run.label)
        scales.append(values)
        rows.append(
            (
                run.label,
                f'{median:.4f}',
                f'{low:.4f} to {high:.4f}',
                f'{within:.0%}',
                f'{1 / median:.4f}',
            )
        )
    if not scales:
        return
    together = np.concatenate([*scales, [1.0]])
    low, high = together.min(), together.max()
    room = max(0.03 * (high - low), 0.02)
    edges = np.linspace(max(low - room, 0), high + room, 31)
    chart = html.histogram(scales, edges, 'median of prediction / truth', marker=1.0)
    header = ('result', 'median', '5 to 95 %', 'within 10 %', '1 / median')
    caption = 'Images by their scale, before any alignment; the dashed line is the right one.'
    pair = html.join([html.figure(chart, caption), html.table(header, rows, range(1, 5))])
    report.add(
        f'Scale per image{suffix}',
        html.legend(labels),
        html.element('div', pair, class_='charts'),
    )


def _add_images(
    report: _Report,
    reader: PredictionReader,
    measured: PredictionErrors,
    num_images: int,
    suffix: str,
) -> None:
    """Add the worst images of a run and those around its median."""
    content = [
        _ramp_line(
            'Relative error: 0',
            colorize_error(np.linspace(0, 1, 128)[None], 1, np.ones((1, 128), bool)),
            f'{ERROR_SHARE:.0%} and more.',
        ),
        html.element(
            'p',
            'Image, ground truth, prediction (both in the colours of the true range: near is red, '
            'far is blue, values beyond it have the colour of its end), and relative error. Grey: '
            'no ground truth that counts.',
            class_='note',
        ),
    ]
    values = np.array(measured.abs_rel)
    order = np.argsort(-values, kind='stable')
    middle = max((len(order) - num_images) // 2, 0)
    choices = (('Worst', order[:num_images]), ('Median', order[middle:][:num_images]))
    for heading, chosen in choices:
        content.append(html.element('h3', heading))
        for position in chosen.tolist():
            maps = reader.maps(measured.indices[position])
            label = f'{measured.names[position]}: abs_rel {values[position]:.4f}'
            if measured.scale:
                label += f', scale {measured.scale[position]:.3f}'
            content.append(_sample(label, maps))
    report.add(f'Worst and median images{suffix}', *content)


def _ramp_line(before: str, colors: np.ndarray, after: str) -> html.Markup:
    ramp = html.element('img', src=html.image_uri(colors, '.png'), alt='', class_='ramp')
    return html.element('p', before, ramp, after)


def _sample(label: str, maps: Maps) -> html.Markup:
    """Return image, ground truth, prediction and error of one image."""
    depths = maps.gt_depth[maps.mask]
    near, far = float(depths.min()), float(depths.max())
    far = max(far, near * 1.01)
    with np.errstate(divide='ignore', invalid='ignore'):
        relative = np.abs(maps.depth - maps.gt_depth) / maps.gt_depth
    relative = np.where(maps.mask, relative, 0)
    counted = np.where(maps.mask, maps.gt_depth, 0)
    pictures = (
        ('image', maps.image),
        ('ground truth', colorize_depth(counted, near, far)),
        ('prediction', colorize_depth(maps.depth, near, far)),
        ('relative error', colorize_error(relative, ERROR_SHARE, maps.mask)),
    )
    cells = []
    for name, picture in pictures:
        uri = html.image_uri(_shrunk(picture))
        image = html.element('img', src=uri, alt=f'{name} of {label}')
        cells.append(html.element('figure', image, html.element('figcaption', name)))
    caption = f'{label}; true depth {near:.2f} to {far:.2f} m'
    height, width = maps.mask.shape
    layout = 'maps wide' if width > WIDE_RATIO * height else 'maps'
    row = html.element('div', html.join(cells), class_=layout)
    return html.element('div', row, html.element('p', caption, class_='note'), class_='sample')


def _shrunk(picture: np.ndarray) -> np.ndarray:
    """Return a picture of at most ``JPEG_SIDE`` pixels on its longer side."""
    share = html.JPEG_SIDE / max(picture.shape[:2])
    if share >= 1:
        return picture
    return cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def _add_curves(report: _Report, runs: Sequence[Run], suffix: str) -> None:
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


def _add_config_difference(report: _Report, runs: Sequence[Run]) -> None:
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
