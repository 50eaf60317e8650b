"""Colour scales: fixed ranges, round ticks, legible legends."""

import re

import numpy as np
import pytest

from depth.apis.results import PictureOptions, ScaleChooser
from depth.evaluation import PredictionType
from depth.visualization import COLOR_MAPS, ColorScale, draw_color_map, draw_legend, fit_scale
from depth.visualization.color_scale import FARTHER_COLOR, NEARER_COLOR, NO_DEPTH_COLOR
from depth.visualization.text import _font, legible_digit_height

METRIC, RELATIVE = PredictionType.METRIC, PredictionType.AFFINE_INVARIANT_DISPARITY
ROOMS = dict(test_evaluator=dict(protocol='rooms_10'))


@pytest.mark.parametrize('noise', [0, 1e-3])
@pytest.mark.parametrize('value', [0.0, 1e-4, 3.0, 79.9])
def test_a_constant_map_is_one_colour_and_its_ticks_differ(value, noise):
    rng = np.random.RandomState(0)
    values = (value * (1 + noise * rng.randn(48, 64))).astype(np.float32)
    scale = fit_scale(values, 'inverse_depth', '')
    colors = scale.colorize(values).reshape(-1, 3).astype(int)
    assert (colors.max(axis=0) - colors.min(axis=0)).max() <= (40 if noise else 0)
    labels = [text for _, text in scale.ticks()]
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ('low', 'high', 'expected'),
    [
        (0, 10, ['0', '2', '4', '6', '8', '10']),
        (0, 80, ['0', '20', '40', '60', '80']),
        (0.37, 2.9, ['0.5', '1', '1.5', '2', '2.5']),
        (0.0021, 0.0079, ['0.003', '0.004', '0.005', '0.006', '0.007']),
    ],
)
def test_ticks_are_round_and_on_the_bar(low, high, expected):
    ticks = ColorScale(low, high, unit=' m').ticks()
    assert [text for _, text in ticks] == [f'{text} m' for text in expected]
    assert all(low <= value <= high for value, _ in ticks)


def test_colours_by_inverse_depth_are_even_steps_of_inverse_depth():
    scale = ColorScale(2, 50, by_inverse=True)
    depth = 1 / np.linspace(1 / 2, 1 / 50, 11)
    np.testing.assert_allclose(scale.share(depth), np.linspace(0, 1, 11), atol=1e-12)
    assert [text for _, text in scale.ticks()] == ['2 m', '5 m', '10 m', '50 m'] or len(
        scale.ticks()
    ) >= 3
    with pytest.raises(ValueError, match='near end above 0'):
        ColorScale(0, 50, by_inverse=True)


def test_values_beyond_the_bar_are_marked():
    colors = ColorScale(1, 10).colorize(np.array([[0.5, 1.0, 10.0, 10.5, 0.0]]))[0].tolist()
    assert colors[0] == list(NEARER_COLOR)
    assert colors[3] == list(FARTHER_COLOR)
    assert colors[4] == list(NO_DEPTH_COLOR)
    markers = (list(NEARER_COLOR), list(FARTHER_COLOR), list(NO_DEPTH_COLOR))
    assert colors[1] not in markers
    assert colors[2] not in markers
    # Of inverse depth, larger is nearer.
    inverse = ColorScale(1, 10, 'inverse_depth').colorize(np.array([[0.5, 10.5]]))[0].tolist()
    assert inverse == [list(FARTHER_COLOR), list(NEARER_COLOR)]


@pytest.mark.parametrize('colormap', COLOR_MAPS)
def test_every_colour_map_tells_values_from_marks(colormap):
    scale = ColorScale(0, 1, colormap=colormap)
    colors = scale.colorize(np.linspace(0.001, 1, 256)[None])[0].astype(int)
    for mark in (NEARER_COLOR, FARTHER_COLOR):
        assert np.abs(colors - mark).sum(axis=1).min() > 24


@pytest.mark.parametrize('size', [(240, 320), (352, 1216), (3000, 4000), (1, 3000), (900, 2)])
def test_legends_are_legible_when_the_picture_is_fitted_to_a_screen(size):
    picture = draw_color_map(np.full(size, 3.0, np.float32), ColorScale(0, 10), 'depth')
    scale = max(size[0], size[1])
    drawn = (size[0] * max(1, round(240 / size[0])), size[1])
    digit_height = legible_digit_height(max(drawn[0], scale), drawn[1])
    fit = min(1, 1280 / max(picture.shape[:2]))
    _, top, _, bottom = _font(digit_height).getbbox('0')
    assert (bottom - top) * fit >= 12
    # Dark pixels of the legend: text is there, in the picture's full height of lines.
    legend = picture[:, min(size[1], picture.shape[1] - 20) :].min(axis=2)
    rows = np.flatnonzero((legend < 100).any(axis=1))
    assert len(rows) >= 2 * digit_height


def test_legends_that_need_more_room_than_the_picture_get_it():
    legend = draw_legend(ColorScale(1, 10), 20, 12, 'inverse depth')
    assert legend.shape[0] > 100
    assert not legend.flags.writeable


def test_one_scale_holds_for_a_folder():
    near, far = np.full((4, 5), 2.0, np.float32), np.full((4, 5), 8.0, np.float32)
    by_protocol = ScaleChooser(PictureOptions(), ROOMS)
    assert (by_protocol.choose(near, METRIC).low, by_protocol.choose(far, METRIC).high) == (0, 10)
    given = ScaleChooser(PictureOptions((1, 5)), ROOMS).choose(far, METRIC)
    assert (given.low, given.high, given.unit) == (1, 5, ' m')
    # A relative prediction has no protocol in metres: the first map decides.
    first = ScaleChooser(PictureOptions(), ROOMS)
    assert first.choose(near, RELATIVE) is first.choose(far, RELATIVE)
    assert first.choose(far, RELATIVE).high < 4
    each = ScaleChooser(PictureOptions('image'), ROOMS)
    assert each.choose(near, METRIC).high < each.choose(far, METRIC).low
    inverse = ScaleChooser(PictureOptions(by_inverse=True), ROOMS).choose(near, METRIC)
    assert (inverse.low, inverse.high) == (0.5, 10)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(color_range=(5, 1)), 'smaller to a larger'),
        (dict(color_range='all'), 'one of protocol'),
        (dict(color_range=(0, 5), by_inverse=True), 'near end above 0'),
        (dict(colormap='jet'), 'there are turbo'),
    ],
)
def test_impossible_colours_are_refused_in_words(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        PictureOptions(**options)
