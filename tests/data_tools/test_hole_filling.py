"""Hole filling against a dense solve of its definition and on a real frame."""

import sys

import cv2
import numpy as np
import pytest

from depth.data_tools.hole_filling import fill_depth
from depth.datasets.transforms.loading import read_depth
from depth.visualization import save_depth_png
from tests.shared import REPO, SAMPLES, needs_samples
from tests.shared_process import run_python


def dense_solve(gray, depth):
    """Solve the equations of all pixels, written out one by one."""
    height, width = gray.shape
    system, right = np.eye(height * width), depth.astype(np.float64).ravel()
    for row in range(height):
        for column in range(width):
            if depth[row, column] > 0:
                continue
            window = [
                (y, x)
                for y in range(max(row - 1, 0), min(row + 2, height))
                for x in range(max(column - 1, 0), min(column + 2, width))
            ]
            variance = np.var([gray[pixel] for pixel in window])
            difference = {
                pixel: (gray[pixel] - gray[row, column]) ** 2
                for pixel in window
                if pixel != (row, column)
            }
            scale = max(0.6 * variance, min(difference.values()) / np.log(100), 1e-6)
            likeness = {pixel: np.exp(-value / scale) for pixel, value in difference.items()}
            total = sum(likeness.values())
            for (y, x), weight in likeness.items():
                system[row * width + column, y * width + x] = -weight / total
    return np.linalg.solve(system, right).reshape(height, width)


def example():
    generator = np.random.default_rng(0)
    gray = generator.integers(0, 256, (9, 12)).astype(np.float64)
    gray[:4, :5] = 80  # a flat patch has no variance
    depth = generator.uniform(1, 5, gray.shape).astype(np.float32)
    depth[generator.random(gray.shape) < 0.6] = 0
    return gray, depth


def test_agrees_with_a_dense_solve():
    gray, depth = example()
    assert np.abs(fill_depth(gray, depth) - dense_solve(gray, depth)).max() < 1e-5


def test_known_depth_stays_and_nothing_is_left_open():
    gray, depth = example()
    filled = fill_depth(gray, depth)
    assert np.array_equal(filled[depth > 0], depth[depth > 0])
    assert filled.min() >= depth[depth > 0].min()
    assert np.array_equal(fill_depth(gray, filled), filled)


def test_depth_stops_at_an_edge_of_the_image():
    gray = np.zeros((20, 20))
    gray[:, 10:] = 200
    depth = np.zeros((20, 20), np.float32)
    depth[0, :10], depth[0, 10:] = 2, 5
    filled = fill_depth(gray, depth)
    assert np.abs(filled[:, :9] - 2).max() < 0.2
    assert np.abs(filled[:, 11:] - 5).max() < 0.2


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r'image \(4, 5\) and depth \(4, 4\)'):
        fill_depth(np.zeros((4, 5)), np.ones((4, 4)))
    with pytest.raises(ValueError, match='no known depth'):
        fill_depth(np.zeros((4, 5)), np.zeros((4, 5)))


@needs_samples
def test_a_real_hole_is_filled_like_what_was_there():
    gray = cv2.imread(str(SAMPLES / 'indoor_rgbd/rgb/nyu_00000.jpg'), cv2.IMREAD_GRAYSCALE)[
        100:260, 150:350
    ]
    depth = (
        cv2.imread(str(SAMPLES / 'indoor_rgbd/depth/nyu_00000.png'), cv2.IMREAD_UNCHANGED)[
            100:260, 150:350
        ]
        / 1000
    )
    hidden = depth * (np.random.default_rng(0).random(depth.shape) > 0.5)
    filled = fill_depth(gray, hidden)
    removed = (depth > 0) & (hidden == 0)
    assert np.abs(filled - depth)[removed].mean() < 0.01 * depth[removed].mean()


def run_tool(*arguments):
    command = [
        sys.executable,
        str(REPO / 'tools/dataset_converters/fill_depth.py'),
        *map(str, arguments),
    ]
    return run_python(command, timeout=120)


def test_the_tool_fills_a_folder_and_names_a_missing_image(tmp_path):
    gray, depth = example()
    for name in ('a', 'b'):
        (tmp_path / 'rgb').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'rgb/{name}.png'), gray.astype(np.uint8))
        save_depth_png(tmp_path / f'depth/{name}.png', depth, 1000.0)
    process = run_tool(tmp_path / 'rgb', tmp_path / 'depth', '--out', tmp_path / 'filled')
    assert process.returncode == 0, process.stderr
    filled = read_depth(tmp_path / 'filled/b.png', 1000.0)
    assert np.abs(filled - fill_depth(gray, np.rint(depth * 1000) / 1000)).max() < 2e-3
    (tmp_path / 'rgb/b.png').unlink()
    process = run_tool(tmp_path / 'rgb', tmp_path / 'depth', '--out', tmp_path / 'filled')
    assert process.returncode == 1
    assert 'no image for 1 depth maps, the first is b.png' in process.stderr


def test_without_scipy_the_message_names_the_extra(monkeypatch):
    for name in ('scipy', 'scipy.sparse', 'scipy.sparse.linalg'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'needs scipy.*depth-toolbox\[optional\]'):
        fill_depth(np.zeros((2, 2), np.uint8), np.ones((2, 2)))
