"""HTML and SVG of reports: elements whose text is always escaped, tables and charts.

A page is one file that loads nothing: styles are inside it, pictures are data URIs, charts are
inline SVG, and its content security policy forbids scripts and every request.
"""

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .output_files import encode_image

CHART_WIDTH = (
    460  # units of the view box; near the width of a telephone, so that text stays legible
)
CHART_HEIGHT = 270
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 66, 14, 12, 44
MAX_POINTS = 400  # of a line; a longer one is thinned
JPEG_SIDE = 560  # pixels of the longer side of a picture
# Distinct also in grey and for the usual colour blindness (Okabe and Ito).
SERIES_COLORS = ('#0072b2', '#d55e00', '#009e73', '#9a4f86', '#7a6a00', '#444444')
MEDIA_TYPES = {'.jpg': 'image/jpeg', '.png': 'image/png'}
VOID_ELEMENTS = ('meta', 'img', 'br')
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light; --ink: #1c2530; --soft: #5b6775; --line: #d9dfe6; --paper: #fff; --wash: #f4f6f9; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main, header { max-width: 1180px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 0 0 6px; }
h3 { font-size: 15px; margin: 16px 0 6px; overflow-wrap: anywhere; }
p { margin: 4px 0 10px; max-width: 88ch; }
nav { margin: 12px 0 16px; display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 14px; }
a { color: #00598c; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; }
section { padding: 16px 20px; margin: 0 0 16px; }
.note { color: var(--soft); font-size: 14px; }
.warning { background: #fff4e0; border-left: 4px solid #d55e00; padding: 8px 12px; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: 14px; }
th, td { padding: 4px 14px 4px 0; text-align: left; vertical-align: top; }
th, td { border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
td.code { font-family: ui-monospace, monospace; font-size: 13px; min-width: 12ch; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 12px 24px; }
figure { margin: 8px 0; max-width: 560px; break-inside: avoid; }
figcaption { font-size: 14px; color: var(--soft); overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; font: 12px system-ui, sans-serif; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 14px; margin: 6px 0; }
.legend span { overflow-wrap: anywhere; }
dl { columns: 260px; column-gap: 32px; margin: 0; font-size: 14px; }
dl div { display: flex; gap: 10px; break-inside: avoid; border-bottom: 1px solid var(--line); padding: 3px 0; }
dt { color: var(--soft); min-width: 120px; }
dd { margin: 0; overflow-wrap: anywhere; }
.maps { display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px; }
.maps.wide { grid-template-columns: repeat(2, 1fr); }
.maps figure { margin: 0; }
.maps img { width: 100%; height: auto; display: block; border-radius: 3px; }
.ramp { width: 120px; height: 11px; vertical-align: middle; margin: 0 6px; }
.sample { break-inside: avoid; border-top: 1px solid var(--line); padding: 10px 0; }
@media (max-width: 640px) {
  main, header { padding: 0 8px; }
  header { padding-top: 14px; }
  section { padding: 12px; }
  .maps { grid-template-columns: repeat(2, 1fr); }
  .maps.wide { grid-template-columns: 1fr; }
  th, td { padding-right: 10px; }
}
@media print {
  body { background: none; font-size: 10pt; }
  nav { display: none; }
  main, header { max-width: none; padding: 0; }
  section { border: 0; border-top: 1px solid var(--line); border-radius: 0; padding: 8px 0; }
  .scroll { overflow: visible; }
  .charts { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  .charts > .scroll { grid-column: 1 / -1; }
  table { font-size: 8.5pt; }
  th, td { padding: 2px 8px 2px 0; overflow-wrap: anywhere; }
  tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


class Markup(str):
    """Text that is HTML already; any other text is escaped where it enters an element."""


@dataclass(frozen=True)
class Series:
    """Points of one line of a chart.

    Attributes:
        label: Its name in the legend.
        x: (N,).
        y: (N,); the line has gaps where it is not finite.
        low: Lower end of the shaded range around the line, (N,), None for none.
        high: Upper end.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class Bar:
    """A value with its interval; NaN where there is none."""

    mean: float
    low: float
    high: float


def element(name: str, *children: str, **attributes: object) -> Markup:
    """Return an element; children that are not :class:`Markup` are escaped, and so are attributes.

    Args:
        name: Of the element.
        *children: Texts and elements.
        **attributes: ``class_`` stands for ``class``, and ``stroke_width`` for ``stroke-width``.
    """
    pieces = [f'<{name}']
    for key, value in attributes.items():
        pieces.append(f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"')
    pieces.append('>')
    if name not in VOID_ELEMENTS:
        for child in children:
            pieces.append(child if isinstance(child, Markup) else html.escape(child))
        pieces.append(f'</{name}>')
    return Markup(''.join(pieces))


def join(children: Sequence[str]) -> Markup:
    """Return texts and elements one after the other, escaped as in :func:`element`."""
    pieces = []
    for child in children:
        pieces.append(child if isinstance(child, Markup) else html.escape(child))
    return Markup(''.join(pieces))


def page(title: str, subtitle: str, sections: Sequence[tuple[str, Markup]]) -> str:
    """Return a complete page.

    Args:
        title: Of the page.
        subtitle: Line below it.
        sections: Heading and content of each section.
    """
    links, blocks = [], []
    for index, (heading, content) in enumerate(sections):
        links.append(element('a', heading, href=f'#s{index}'))
        blocks.append(element('section', element('h2', heading), content, id=f's{index}'))
    head = element(
        'head',
        element('meta', charset='utf-8'),
        element('meta', http_equiv='Content-Security-Policy', content=POLICY),
        element('meta', name_='viewport', content='width=device-width, initial-scale=1'),
        element('title', title),
        element('style', Markup(STYLE)),
    )
    header = element(
        'header',
        element('h1', title),
        element('p', subtitle, class_='note'),
        element('nav', join(links)),
    )
    body = element('body', header, element('main', join(blocks)))
    return '<!doctype html>\n' + element('html', head, body, lang='en') + '\n'


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[int] = (),
    code: bool = False,
) -> Markup:
    """Return a table that scrolls sideways where it is too wide.

    Args:
        header: Cells of the first row.
        rows: Cells of the others.
        numbers: Columns of numbers, which are aligned to the right.
        code: Whether cells hold code.
    """

    def row(cells: Sequence[str], name: str) -> Markup:
        made = []
        for column, cell in enumerate(cells):
            if column in numbers:
                made.append(element(name, cell, class_='number'))
            elif code and name == 'td':
                made.append(element(name, cell, class_='code'))
            else:
                made.append(element(name, cell))
        return element('tr', join(made))

    body = [row(cells, 'td') for cells in rows]
    head = element('thead', row(header, 'th'))
    return element('div', element('table', head, element('tbody', join(body))), class_='scroll')


def definitions(pairs: Sequence[tuple[str, str]]) -> Markup:
    """Return terms with their values, in as many columns as there is room for."""
    entries = []
    for term, value in pairs:
        entries.append(element('div', element('dt', term), element('dd', value)))
    return element('dl', join(entries))


def legend(labels: Sequence[str]) -> Markup:
    """Return the names of series in their colours; nothing for a single one."""
    if len(labels) < 2:
        return Markup('')
    entries = []
    for index, label in enumerate(labels):
        mark = element('b', '\u25cf ', style=f'color:{series_color(index)}')
        entries.append(element('span', mark, label))
    return element('div', join(entries), class_='legend')


def series_color(index: int) -> str:
    """Return the colour of series ``index``."""
    return SERIES_COLORS[index % len(SERIES_COLORS)]


def figure(chart: Markup, caption: str) -> Markup:
    """Return a chart with its caption."""
    return element('figure', chart, element('figcaption', caption))


def line_chart(series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Return lines over a common axis; each may have a shaded range."""
    x_values = np.concatenate([line.x for line in series])
    y_values = []
    for line in series:
        for values in (line.y, line.low, line.high):
            if values is not None:
                y_values.append(values)
    frame = _Frame.around(x_values, np.concatenate(y_values), x_label, y_label)
    marks = []
    for index, line in enumerate(series):
        color = series_color(index)
        if line.low is not None and line.high is not None:
            for run in _finite_runs(line.low + line.high):
                upper = frame.points(line.x[run], line.high[run])
                lower = frame.points(line.x[run][::-1], line.low[run][::-1])
                marks.append(
                    element('polygon', points=f'{upper} {lower}', fill=color, opacity=0.16)
                )
        for run in _finite_runs(line.y):
            x, y = line.x[run], line.y[run]
            if len(x) == 1:
                marks.append(
                    element(
                        'circle',
                        cx=f'{frame.x(x[0]):.1f}',
                        cy=f'{frame.y(y[0]):.1f}',
                        r=3,
                        fill=color,
                    )
                )
                continue
            step = max(len(x) // MAX_POINTS, 1)
            points = frame.points(x[::step], y[::step])
            marks.append(
                element('polyline', points=points, fill='none', stroke=color, stroke_width=1.8)
            )
    return frame.draw(marks)


def interval_chart(
    labels: Sequence[str], series: Sequence[Sequence[Bar]], x_label: str, y_label: str
) -> Markup:
    """Return values with whiskers for their intervals, over categories from left to right.

    Args:
        labels: Names of the categories.
        series: For each series one :class:`Bar` a category.
        x_label: Of the axis of categories.
        y_label: Of the axis of values.
    """
    ends = [0.0]
    for bars in series:
        for bar in bars:
            ends += [bar.low, bar.high, bar.mean]
    frame = _Frame.around(
        np.array([-0.5, len(labels) - 0.5]), np.array(ends), x_label, y_label, tuple(labels)
    )
    marks = []
    for index, bars in enumerate(series):
        color = series_color(index)
        # Series stand beside each other within their category.
        offset = (index - (len(series) - 1) / 2) * 0.7 / max(len(series), 2)
        for category, bar in enumerate(bars):
            if not math.isfinite(bar.mean):
                continue
            x, y = frame.x(category + offset), frame.y(bar.mean)
            low, high = frame.y(bar.low), frame.y(bar.high)
            position = dict(x1=f'{x:.1f}', x2=f'{x:.1f}')
            marks.append(
                element(
                    'line',
                    **position,
                    y1=f'{low:.1f}',
                    y2=f'{high:.1f}',
                    stroke=color,
                    stroke_width=2,
                )
            )
            marks.append(element('circle', cx=f'{x:.1f}', cy=f'{y:.1f}', r=4.2, fill=color))
    return frame.draw(marks)


def histogram(
    values: Sequence[np.ndarray], edges: np.ndarray, x_label: str, marker: float | None = None
) -> Markup:
    """Return histograms of several series over common edges, one behind the other.

    Args:
        values: (N,) of each series.
        edges: Of the bins.
        x_label: Of the axis of values.
        marker: Value where a dashed line is drawn.
    """
    counts = [np.histogram(series, edges)[0] for series in values]
    top = max(int(column.max()) for column in counts)
    frame = _Frame.around(edges, np.array([0.0, top]), x_label, 'images')
    marks = []
    for index, column in enumerate(counts):
        color = series_color(index)
        for count, left, right in zip(column, edges[:-1], edges[1:], strict=True):
            if not count:
                continue
            x, width = frame.x(left), frame.x(right) - frame.x(left)
            y, height = frame.y(count), frame.y(0) - frame.y(count)
            marks.append(
                element(
                    'rect', x=f'{x:.1f}', y=f'{y:.1f}', width=f'{max(width - 1, 1):.1f}',
                    height=f'{height:.1f}', fill=color, opacity=0.55 if len(values) > 1 else 0.85,
                )
            )  # fmt: skip
    if marker is not None and edges[0] <= marker <= edges[-1]:
        x = f'{frame.x(marker):.1f}'
        span = dict(y1=MARGIN_TOP, y2=CHART_HEIGHT - MARGIN_BOTTOM)
        marks.append(element('line', x1=x, x2=x, **span, stroke='#1c2530', stroke_dasharray='4 3'))
    return frame.draw(marks)


def image_uri(image: np.ndarray, suffix: str = '.jpg') -> str:
    """Return a picture (H, W, 3), BGR uint8, as data URI."""
    content = base64.b64encode(encode_image(f'picture{suffix}', image)).decode('ascii')
    return f'data:{MEDIA_TYPES[suffix]};base64,{content}'


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round values from ``low`` to ``high``, about ``count`` of them."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * min((1, 2, 5, 10), key=lambda factor: abs(factor * power - raw))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


@dataclass(frozen=True)
class _Frame:
    """Axes of a chart, and the map from values to the view box."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_label: str
    y_label: str
    categories: tuple[str, ...] = ()

    @classmethod
    def around(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        x_label: str,
        y_label: str,
        categories: tuple[str, ...] = (),
    ) -> '_Frame':
        """Return axes that hold all finite values."""
        x, y = x[np.isfinite(x)], y[np.isfinite(y)]
        x_low, x_high = (float(x.min()), float(x.max())) if len(x) else (0.0, 1.0)
        y_low, y_high = (float(y.min()), float(y.max())) if len(y) else (0.0, 1.0)
        if x_high <= x_low:
            x_low, x_high = x_low - 0.5, x_high + 0.5
        room = 0.05 * (y_high - y_low) or 0.05 * abs(y_high) or 1.0
        # An axis of errors or counts begins at 0, without room below it.
        y_start = y_low if y_low == 0 else y_low - room
        return cls((x_low, x_high), (y_start, y_high + room), x_label, y_label, categories)

    def x(self, value: float) -> float:
        """Return the horizontal position of a value."""
        low, high = self.x_range
        return MARGIN_LEFT + (value - low) / (high - low) * (
            CHART_WIDTH - MARGIN_LEFT - MARGIN_RIGHT
        )

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        low, high = self.y_range
        height = CHART_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM
        return CHART_HEIGHT - MARGIN_BOTTOM - (value - low) / (high - low) * height

    def points(self, x: np.ndarray, y: np.ndarray) -> str:
        """Return positions as SVG writes the points of a line."""
        pairs = zip(x.tolist(), y.tolist(), strict=True)
        return ' '.join(f'{self.x(first):.1f},{self.y(second):.1f}' for first, second in pairs)

    def draw(self, marks: Sequence[Markup]) -> Markup:
        """Return the chart: grid, numbers and labels of the axes, and the marks."""
        drawn = []
        bottom, right = CHART_HEIGHT - MARGIN_BOTTOM, CHART_WIDTH - MARGIN_RIGHT
        for value in ticks(*self.y_range):
            y = f'{self.y(value):.1f}'
            drawn.append(element('line', x1=MARGIN_LEFT, x2=right, y1=y, y2=y, stroke='#e3e8ee'))
            drawn.append(
                _text(
                    f'{value:g}' if abs(value) > 1e-12 else '0',
                    MARGIN_LEFT - 6,
                    self.y(value) + 4,
                    'end',
                )
            )
        if self.categories:
            positions = list(enumerate(self.categories))
        else:
            positions = [(value, f'{value:g}') for value in ticks(*self.x_range, 6)]
        for value, label in positions:
            drawn.append(_text(label, self.x(value), bottom + 17, 'middle'))
        drawn.append(
            element('line', x1=MARGIN_LEFT, x2=right, y1=bottom, y2=bottom, stroke='#5b6775')
        )
        drawn += marks
        drawn.append(_text(self.x_label, (MARGIN_LEFT + right) / 2, CHART_HEIGHT - 8, 'middle'))
        middle = (MARGIN_TOP + bottom) / 2
        # Turned, so that it reads upwards beside its axis.
        turn = f'rotate(-90 13 {middle:.0f})'
        drawn.append(_text(self.y_label, 13, middle, 'middle', transform=turn))
        label = f'{self.y_label} over {self.x_label}'
        box = f'0 0 {CHART_WIDTH} {CHART_HEIGHT}'
        return element('svg', join(drawn), viewBox=box, role='img', aria_label=label)


def _text(content: str, x: float, y: float, anchor: str, **attributes: str) -> Markup:
    position = dict(x=f'{x:.1f}', y=f'{y:.1f}', text_anchor=anchor)
    return element('text', content, **position, fill='#5b6775', **attributes)


def _finite_runs(values: np.ndarray) -> list[slice]:
    """Return the slices of neighbouring finite values."""
    finite = np.concatenate([[False], np.isfinite(values), [False]])
    starts = np.flatnonzero(finite[1:] & ~finite[:-1])
    stops = np.flatnonzero(~finite[1:] & finite[:-1])
    return [slice(start, stop) for start, stop in zip(starts, stops, strict=True)]
