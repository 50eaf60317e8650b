import json
import struct

import numpy as np
import pytest

from depth.datasets.transforms.loading import read_depth
from depth.depth_codes import encode_uint16
from depth.visualization import (
    CloudOptions,
    colorize_depth,
    depth_to_points,
    draw_color_bar,
    draw_panel,
    save_depth_png,
    write_glb,
    write_ply,
)
from depth.visualization.color_scale import NO_DEPTH_COLOR
from depth.visualization.point_cloud import select_points

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
def test_maps_of_wide_frames_are_stacked_and_others_side_by_side(with_gt, size):
    rng = np.random.RandomState(0)
    pred = rng.uniform(1, 9, size).astype(np.float32)
    gt = np.where(rng.rand(*size) < 0.05, pred, 0) if with_gt else None
    panel = draw_panel(rng.randint(0, 255, (*size, 3)).astype(np.uint8), pred, gt, max_depth=10)
    count = 4 if with_gt else 2
    if size[1] > 2 * size[0]:
        assert panel.shape[1] < 1280
        assert panel.shape[0] > count * 1024 * size[0] / size[1]
    else:
        assert panel.shape[1] > count * 320
        assert 240 < panel.shape[0] < 300


def test_color_bar_runs_from_near_to_far():
    bar = draw_color_bar(120, 0, 10, ' m')
    assert bar.shape[0] == 120
    top, bottom = bar[14, 10].astype(int), bar[85, 10].astype(int)
    assert top[2] > top[0]
    assert bottom[0] > bottom[1]


def read_glb(content):
    """Read a GLB as the specification says, with nothing of the writer."""
    magic, version, length = struct.unpack_from('<4sII', content)
    assert (magic, version, length) == (b'glTF', 2, len(content))
    chunks, offset = {}, 12
    while offset < length:
        size, kind = struct.unpack_from('<I4s', content, offset)
        assert size % 4 == 0
        chunks[kind] = content[offset + 8 : offset + 8 + size]
        offset += 8 + size
    document = json.loads(chunks[b'JSON'])
    arrays = {}
    for name, number in document['meshes'][0]['primitives'][0]['attributes'].items():
        accessor = document['accessors'][number]
        view = document['bufferViews'][accessor['bufferView']]
        assert view['byteOffset'] + view['byteLength'] <= document['buffers'][0]['byteLength']
        dtype = {5126: '<f4', 5121: 'u1'}[accessor['componentType']]
        width = {'VEC3': 3, 'VEC4': 4}[accessor['type']]
        values = np.frombuffer(
            chunks[b'BIN\0'], dtype, accessor['count'] * width, view['byteOffset']
        )
        arrays[name] = values.reshape(-1, width)
        if 'min' in accessor:
            assert arrays[name].min(axis=0).tolist() == accessor['min']
            assert arrays[name].max(axis=0).tolist() == accessor['max']
    return arrays


def test_glb_holds_the_points_with_y_up_and_linear_colours(tmp_path):
    depth = np.array([[2.0, 0.0], [1.0, 4.0]])
    img = np.zeros((2, 2, 3), np.uint8)
    img[1, 0] = (0, 128, 255)  # BGR
    assert write_glb(tmp_path / 'a.glb', depth, K, img) == 3
    arrays = read_glb((tmp_path / 'a.glb').read_bytes())
    expected = depth_to_points(depth, K)[depth > 0] * [1, -1, -1]
    np.testing.assert_allclose(arrays['POSITION'], expected, rtol=1e-6)
    # 0.2159 is the linear light of the sRGB value 128.
    assert arrays['COLOR_0'][1].tolist() == [255, round(255 * 0.2159), 0, 255]
    with pytest.raises(ValueError, match='no pixel is left'):
        write_glb(tmp_path / 'b.glb', np.zeros((2, 2)), K, img)


def points_of(depth, **options):
    img = np.zeros((*depth.shape, 3), np.uint8)
    return select_points(depth, K, img, CloudOptions(**options))[0]


def test_points_at_edges_are_cut_and_slopes_stay():
    slope = np.tile(np.linspace(1, 1.1, 8), (6, 1))  # 1.4 % a pixel, 2.9 % within three
    assert len(points_of(slope, edge_cut=0.04)) == 48
    step = np.where(np.arange(8) < 4, 1.0, 2.0) * np.ones((6, 1))
    cut = points_of(step, edge_cut=0.04)
    assert len(cut) == 48 - 2 * 6  # the columns on both sides of the step
    holes = np.where(np.arange(8) == 4, 0.0, 1.0) * np.ones((6, 1))
    assert len(points_of(holes, edge_cut=0.04)) == 42  # a hole is no edge


def test_clouds_are_limited_in_distance_and_number_and_turned():
    depth = np.random.RandomState(0).uniform(1, 5, (20, 30)).astype(np.float32)
    near = points_of(depth, max_distance=3.0)
    distance = np.linalg.norm(depth_to_points(depth, K), axis=2)
    assert len(near) == (distance <= 3).sum()
    some = points_of(depth, max_points=50)
    assert len(some) == 50
    everything = {tuple(point) for point in points_of(depth).tolist()}
    assert {tuple(point) for point in some.tolist()} <= everything
    turned = points_of(depth, y_up=True)
    assert np.array_equal(turned, points_of(depth) * np.float32([1, -1, -1]))
    with pytest.raises(ValueError, match='max_points'):
        CloudOptions(max_points=0)
