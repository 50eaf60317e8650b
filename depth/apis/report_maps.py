"""Sections of a report from predicted maps: errors by distance and place, scales, and pictures."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from depth.evaluation import error_breakdown as breakdown
from depth.visualization import colorize_depth, colorize_error
from depth.visualization import report_page as html

from .report_content import Report, number_with_interval
from .report_predictions import SAME_RESULT, Maps, PredictionErrors, PredictionReader
from .report_runs import Run

WIDE_RATIO = 2.2  # wider images, such as KITTI's, stand two in a row in place of four
ERROR_SHARE = 0.3  # relative error at the bright end of error maps


def check_same_result(run: Run, measured: PredictionErrors) -> None:
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


def add_error_curve(
    report: Report, runs: Sequence[Run], errors: Sequence[PredictionErrors], suffix: str
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


def add_bands(
    report: Report, runs: Sequence[Run], errors: Sequence[PredictionErrors], suffix: str
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
    report: Report,
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
        cells = [number_with_interval(bars[index]) for bars in bars_of_runs]
        rows.append((band, *cells))
    labels = [run.label for run in runs]
    chart = html.interval_chart(bands, bars_of_runs, axis, 'abs_rel')
    caption = f'{note} Mean over images with its {report.level:.0%} interval.'
    table = html.table(('abs_rel', *labels), rows, range(1, len(labels) + 1))
    pair = html.join([html.figure(chart, caption), table])
    report.add(heading, html.legend(labels), html.element('div', pair, class_='charts'))


def add_scales(
    report: Report, runs: Sequence[Run], errors: Sequence[PredictionErrors], suffix: str
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


def add_images(
    report: Report,
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
