"""Elements and charts of reports: escaping by construction, round ticks, marks where the values are."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from depth.visualization import report_page as html


def marks(chart, tag):
    return [node.attrib for node in ElementTree.fromstring(str(chart)).iter(tag)]


def test_text_and_attributes_are_escaped_and_markup_is_not():
    inner = html.element('b', '<i>')
    outer = html.element('p', inner, '"&', title='a"><script>')
    assert outer == '<p title="a&quot;&gt;&lt;script&gt;"><b>&lt;i&gt;</b>&quot;&amp;</p>'
    # Markup inside a plain text is text again.
    assert html.element('p', f'x {inner}') == '<p>x &lt;b&gt;&amp;lt;i&amp;gt;&lt;/b&gt;</p>'


@pytest.mark.parametrize(
    ('low', 'high', 'expected'),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-3, 8, [-2, 0, 2, 4, 6, 8]), (5, 5, [5])],
)
def test_ticks_are_round(low, high, expected):
    assert html.ticks(low, high) == pytest.approx(expected)


def test_lines_have_gaps_where_values_are_missing():
    y = np.array([0.0, 1.0, np.nan, 1.0, 0.0])
    chart = html.line_chart([html.Series('<a>', np.arange(5.0), y)], 'x', 'y')
    lines = [node['points'] for node in marks(chart, 'polyline')]
    assert [len(points.split()) for points in lines] == [2, 2]
    # The same heights on both sides of the gap.
    heights = [[float(pair.split(',')[1]) for pair in points.split()] for points in lines]
    assert heights[0] == heights[1][::-1]
    assert heights[0][0] > heights[0][1]  # larger values are higher up


def test_whiskers_and_bars_are_in_proportion():
    bars = [html.Bar(1.0, 0.5, 2.0), html.Bar(np.nan, np.nan, np.nan)]
    chart = html.interval_chart(['near', 'far'], [bars], 'x', 'y')
    (circle,) = marks(chart, 'circle')
    (line,) = [node for node in marks(chart, 'line') if node['x1'] == node['x2']]
    above, below = float(circle['cy']) - float(line['y2']), float(line['y1']) - float(circle['cy'])
    assert above == pytest.approx(2 * below, abs=0.2)
    chart = html.histogram([np.array([1.0, 1.0, 1.0, 3.0])], np.array([0.0, 2.0, 4.0]), 'x')
    heights = [float(node['height']) for node in marks(chart, 'rect')]
    assert heights[0] == pytest.approx(3 * heights[1], abs=0.2)


def test_a_chart_without_finite_values_is_empty_and_valid():
    nothing = np.full(3, np.nan)
    chart = html.line_chart([html.Series('a', nothing, nothing)], 'x', 'y')
    assert not marks(chart, 'polyline')
    assert 'nan' not in chart
