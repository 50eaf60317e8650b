import numpy as np
import pytest

from depth.datasets.transforms.loading import read_depth
from depth.depth_codes import encode_uint16
from depth.visualization import (
    colorize_depth,
    depth_to_points,
    draw_color_bar,
    draw_panel,
    save_depth_png,
    write_ply,
)
from depth.visualization.colormap import NO_DEPTH_COLOR

K = np.array([[50.0, 0, 3.0], [0, 60.0, 2.0], [0, 0, 1]])


def test_points_project_back_onto_their_pixels():
    depth = np.random.RandomState(0).uniform(1, 5, (5, 7))
    points = depth_to_points(depth, K).astype(np.float64)
    pixels = points @ K.T
    v, u = np.mgrid[:5, :7]
    assert pixels[..., 2] == pytest.approx(depth, rel=1e-6)
    assert pixels[..., 0] / pixels[..., 2] == pytest.approx(u, abs=1e-4)
    assert pixels[..., 1] / pixels[..., 2] == pytest.approx(v, abs=1e-4)


def test_ply_holds_the_points_with_depth_in_rgb(tmp_path):
    depth = np.array([[2.0, 0.0], [1.0, 4.0]])
    img = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert write_ply(tmp_path / 'a/b.ply', depth, K, img) == 3
    header, body = (tmp_path / 'a/b.ply').read_bytes().split(b'end_header\n')
    assert b'element vertex 3' in header
    vertices = np.frombuffer(body, np.dtype([('xyz', '<f4', 3), ('rgb', 'u1', 3)]))
    assert vertices['xyz'][0] == pytest.approx([2 * -3 / 50, 2 * -2 / 60, 2])
    assert vertices['rgb'][1].tolist() == [8, 7, 6]  # BGR 6, 7, 8 of pixel (1, 0)


@pytest.mark.parametrize(('farthest', 'scale'), [(9.5, 1000), (80.0, 256)])
def test_png_keeps_depth_to_half_a_step(tmp_path, farthest, scale):
    depth = np.linspace(0, farthest, 60, dtype=np.float32).reshape(6, 10)
    assert save_depth_png(tmp_path / 'd.png', depth) == scale
    assert read_depth(tmp_path / 'd.png', scale) == pytest.approx(depth, abs=0.51 / scale)


def test_depth_that_is_there_never_becomes_none(tmp_path):
    depth = np.array([[0.0, 1e-5, 4e-4, 1.0, np.nan, -1.0]], np.float32)
    save_depth_png(tmp_path / 'd.png', depth, 1000.0)
    assert read_depth(tmp_path / 'd.png', 1000.0)[0].tolist() == pytest.approx(
        [0, 1e-3, 1e-3, 1, 0, 0]
    )
    assert encode_uint16(depth[:, :4], 256.0).tolist() == [[0, 1, 1, 256]]


def test_what_does_not_fit_is_counted(tmp_path):
    save_depth_png(tmp_path / 'd.png', np.array([[300.0, 10.0]]))
    assert '"saturated_pixels": 1' in (tmp_path / 'd.json').read_text()
    assert read_depth(tmp_path / 'd.png', 256.0)[0, 0] == pytest.approx(65535 / 256)


def test_near_is_warm_and_no_depth_is_grey():
    colors = colorize_depth(np.array([[1.0, 5.0, 0.0]]), 1.0, 5.0).astype(int)
    near, far, none = colors[0]
    assert near[2] > near[0]  # red over blue
    assert far[0] > far[1]
    assert none.tolist() == list(NO_DEPTH_COLOR)


@pytest.mark.parametrize('with_gt', [True, False])
@pytest.mark.parametrize('size', [(24, 32), (375, 1242)])
def test_panels_are_legible_at_any_size(with_gt, size):
    rng = np.random.RandomState(0)
    pred = rng.uniform(1, 9, size).astype(np.float32)
    gt = np.where(rng.rand(*size) < 0.05, pred, 0) if with_gt else None
    panel = draw_panel(rng.randint(0, 255, (*size, 3)).astype(np.uint8), pred, gt, max_depth=10)
    assert panel.dtype == np.uint8
    assert panel.shape[0] >= 240
    assert panel.shape[1] > (3 if with_gt else 2) * panel.shape[0] * size[1] / size[0] * 0.9


def test_color_bar_runs_from_near_to_far():
    bar = draw_color_bar(120, 0, 10, ' m')
    assert bar.shape == (120, 70, 3)
    top, bottom = bar[12, 10].astype(int), bar[-13, 10].astype(int)
    assert top[2] > top[0]
    assert bottom[0] > bottom[1]
