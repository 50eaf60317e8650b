"""Pictures and files of predictions that are not metres."""

import json

import cv2
import numpy as np
import pytest
import torch

from depth.apis.prediction_files import PredictionFiles
from depth.apis.results import (
    NO_RELATIVE_CLOUDS,
    UNSCALED_CLOUDS,
    PictureOptions,
    Prediction,
    ResultWriter,
    ScaleChooser,
)
from depth.engine.hooks.visualization_hook import _draw_sample
from depth.evaluation.alignment import fit_to_metres
from depth.evaluation.prediction_types import PredictionType
from depth.structures import DepthDataSample
from depth.visualization import ColorScale, colorize_depth, save_depth_png

DEPTH = np.array([[1.0, 2.0], [4.0, 8.0]], np.float32)


def sample_of(values, kind):
    sample = DepthDataSample(metainfo=dict(prediction_type=kind))
    sample.pred_depth = torch.from_numpy(values)
    return sample


@pytest.mark.parametrize('kind', PredictionType)
def test_what_a_type_leaves_open_is_fitted_and_nothing_else(kind):
    values = 1 / DEPTH if kind.is_inverse else DEPTH
    factor, offset = [(1, 0), (3, 0), (3, -0.5)][kind.ambiguity]
    pred = torch.from_numpy((factor * values + offset).astype(np.float32))[None]
    fitted = fit_to_metres(pred, torch.from_numpy(DEPTH)[None], kind)
    torch.testing.assert_close(fitted[0], torch.from_numpy(DEPTH), rtol=1e-4, atol=1e-4)


def test_inverse_depth_has_the_colours_of_its_depth_order():
    near_to_far = np.array([[3.0, 2.0, 1.0, 0.0]])  # inverse depth
    colors = colorize_depth(near_to_far, 0.0, 3.0, inverse=True)
    depth_colors = colorize_depth(np.array([[1.0, 2.0, 3.0, 4.0]]), 1.0, 4.0)
    assert np.array_equal(colors, depth_colors)
    shares = np.linspace(0, 3, 50)[:, None]
    bar = ColorScale(0, 3, 'inverse_depth').colorize(shares)
    assert np.array_equal(bar, ColorScale(0, 3, 'depth').colorize(shares, shares >= 0)[::-1])


def test_a_file_of_relative_depth_says_so_and_score_reads_it(tmp_path):
    save_depth_png(tmp_path / 'a.png', 0.03 * DEPTH, prediction_type='affine_invariant_disparity')
    side_car = json.loads((tmp_path / 'a.json').read_text())
    assert side_car['prediction_type'] == 'affine_invariant_disparity'
    files = PredictionFiles(tmp_path)
    assert files.stated_type() == 'affine_invariant_disparity'
    np.testing.assert_allclose(files.read('a'), 0.03 * DEPTH, rtol=1e-4)
    save_depth_png(tmp_path / 'a.png', DEPTH)
    assert PredictionFiles(tmp_path).stated_type() is None


@pytest.mark.parametrize(
    ('kind', 'note', 'has_cloud'),
    [
        ('affine_invariant_disparity', NO_RELATIVE_CLOUDS, False),
        ('scale_invariant', UNSCALED_CLOUDS, True),
        ('metric', None, True),
        ('inverse_depth', None, True),
    ],
)
def test_clouds_are_only_written_where_the_shape_is_known(tmp_path, kind, note, has_cloud):
    values = 1 / DEPTH if 'inverse' in kind else DEPTH
    files = []
    img = np.zeros((2, 2, 3), np.uint8)
    camera = np.eye(3)
    scales = ScaleChooser(PictureOptions(), {})
    writer = ResultWriter(tmp_path, ('png', 'color', 'ply'), scales)
    writer.write(Prediction.from_sample(sample_of(values, kind), img, camera), 'a', files)
    assert writer.notes == ([note] if note else [])
    assert ('ply/a.ply' in files) == has_cloud
    if has_cloud:
        content = (tmp_path / 'ply/a.ply').read_bytes().split(b'end_header\n')[1]
        vertices = np.frombuffer(content, np.dtype('<f4, <f4, <f4, u1, u1, u1'))
        np.testing.assert_allclose(vertices['f2'], DEPTH.ravel(), rtol=1e-6)
    assert cv2.imread(str(tmp_path / 'color/a.png')) is not None


def test_the_panel_of_a_relative_prediction_shows_it_fitted():
    image = torch.zeros(3, 2, 2)
    relative = sample_of((5 / DEPTH + 1).astype(np.float32), 'affine_invariant_disparity')
    metric = sample_of(DEPTH, 'metric')
    for sample in (relative, metric):
        sample.gt_depth = torch.from_numpy(DEPTH)
    difference = np.abs(
        _draw_sample(image, relative).astype(int) - _draw_sample(image.byte(), metric)
    )
    assert difference.max() <= 3
