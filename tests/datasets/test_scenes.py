import subprocess
import sys

import cv2
import numpy as np
import pytest

from depth.datasets import SyntheticDataset
from depth.datasets.scenes import WORLDS, camera_matrix, geometry, render_scene

ORIGIN = np.zeros(3)


def ray(u, v, matrix):
    return np.array([[(u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1], 1.0]])


@pytest.mark.parametrize(('u', 'v'), [(10, 70), (64, 90), (120, 60)])
def test_depth_of_the_ground_is_height_over_slope(u, v):
    matrix = camera_matrix('streets', (96, 128))
    t, normals = geometry.intersect_ground(ORIGIN, ray(u, v, matrix), 1.65)
    assert t[0] == pytest.approx(1.65 * matrix[1, 1] / (v - matrix[1, 2]))
    assert normals[0].tolist() == [0, -1, 0]


def test_depth_of_a_sphere_on_the_axis_and_at_its_rim():
    center, radius = np.array([0.0, 0.0, 5.0]), 1.5
    rays = np.array([[0.0, 0.0, 1.0], [0.2, 0.1, 1.0], [1.0, 0.0, 1.0]])
    t, normals = geometry.intersect_sphere(ORIGIN, rays, center, radius)
    assert t[0] == pytest.approx(3.5)
    hit = t[1] * rays[1]
    assert np.linalg.norm(hit - center) == pytest.approx(radius)
    assert normals[1] == pytest.approx((hit - center) / radius)
    assert np.isinf(t[2])


def test_box_and_cylinder_faces():
    rays = np.array([[0.0, 0.0, 1.0], [0.1, 0.2, 1.0]])
    t, normals = geometry.intersect_box(
        ORIGIN, rays, np.array([0, 0, 4.0]), np.array([2, 2, 2.0]), 0.0
    )
    assert t == pytest.approx([3.0, 3.0])
    assert normals[0] == pytest.approx([0, 0, -1])
    turned, normals = geometry.intersect_box(
        ORIGIN, rays[:1], np.array([0, 0, 4.0]), np.array([2, 2, 2.0]), np.pi / 4
    )
    assert turned[0] == pytest.approx(4 - np.sqrt(2))
    t, normals = geometry.intersect_cylinder(ORIGIN, rays[:1], np.array([0, 0, 4.0]), 0.5, 2.0)
    assert t[0] == pytest.approx(3.5)
    assert normals[0] == pytest.approx([0, 0, -1])
    downwards = np.array([[0.0, 1.0, 1.0]])
    t, normals = geometry.intersect_cylinder(ORIGIN, downwards, np.array([0, 3.0, 2.2]), 0.5, 2.0)
    assert t[0] == pytest.approx(2.0)  # the upper end at y = 2
    assert normals[0] == pytest.approx([0, -1, 0])


def test_room_is_left_through_the_nearest_wall():
    lower, upper = np.array([-1.0, -1.0, -1.0]), np.array([2.0, 1.5, 6.0])
    rays = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [-1.0, 0.1, 1.0]])
    t, normals, wall = geometry.intersect_room(ORIGIN, rays, lower, upper)
    assert t == pytest.approx([6.0, 2.0, 1.5, 1.0])
    assert wall.tolist() == [5, 1, 3, 0]
    assert normals[3] == pytest.approx([1, 0, 0])


@pytest.mark.parametrize('world', WORLDS)
def test_right_view_warped_by_disparity_is_the_left_view(world):
    scene = render_scene(world, 3, 1, image_size=(120, 200), noise=0, stereo=True)
    depth, focal = scene['gt_depth'], scene['cam_intrinsic'][0, 0]
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]].astype(np.float32)
    disparity = focal * scene['baseline'] / np.where(depth > 0, depth, np.inf)
    source_u = (u - disparity).astype(np.float32)

    def warp(array):
        return cv2.remap(array.astype(np.float32), source_u, v, cv2.INTER_LINEAR)

    # Unoccluded: the right view sees the same surface there, and no edge is within a pixel.
    spread = cv2.dilate(depth, np.ones((5, 5))) - cv2.erode(depth, np.ones((5, 5)))
    same = np.abs(warp(scene['gt_depth_right']) - depth) < 0.01 * depth
    smooth = (spread < 0.15 * depth) & same & (source_u > 1) & (depth > 0)
    error = np.abs(warp(scene['img_right']) - scene['img'])[smooth]
    unshifted = np.abs(scene['img_right'].astype(np.float32) - scene['img'])[smooth]
    assert smooth.mean() > 0.3
    assert np.mean(error) < 0.8  # of 255: half a grey level is the rounding of the two views
    assert np.mean(error) < 0.35 * np.mean(unshifted)


@pytest.mark.parametrize('world', WORLDS)
def test_normals_are_those_of_the_depth(world):
    scene = render_scene(world, 0, 5, image_size=(96, 128))
    depth, normals = scene['gt_depth'].astype(np.float64), scene['normals']
    v, u = np.mgrid[:96, :128]
    points = (
        np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(scene['cam_intrinsic']).T
    ) * depth[..., None]
    across, along = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    estimated = np.cross(along, across)
    estimated /= np.maximum(np.linalg.norm(estimated, axis=-1, keepdims=True), 1e-12)
    agreement = (estimated * normals[1:-1, 1:-1]).sum(-1)[depth[1:-1, 1:-1] > 0]
    assert np.median(agreement) > 0.999
    assert (agreement > 0.99).mean() > 0.8  # the rest are edges between surfaces


def test_a_scene_is_the_same_in_another_process():
    code = (
        'from depth.datasets.scenes import render_scene; s = render_scene("rooms", 7, 11);'
        'print(int(s["img"].sum()), repr(float(s["gt_depth"].sum(dtype="float64"))))'
    )
    other = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout.split()
    scene = render_scene('rooms', 7, 11)
    assert int(other[0]) == int(scene['img'].sum())
    assert float(other[1]) == pytest.approx(float(scene['gt_depth'].sum(dtype='float64')), rel=1e-7)


def test_scenes_differ_by_split_seed_and_index():
    keys = [(0, 0, 'train'), (0, 0, 'test'), (0, 0, 'val'), (1, 0, 'train'), (0, 1, 'train')]
    maps = [render_scene('rooms', seed, index, split)['gt_depth'] for seed, index, split in keys]
    for first in range(len(maps)):
        for second in range(first):
            assert np.abs(maps[first] - maps[second]).mean() > 0.01


@pytest.mark.parametrize(
    ('world', 'low', 'high'), [('rooms', 0.2, 10.0), ('streets', 1.0, 80.0), ('desks', 0.1, 3.0)]
)
def test_depth_ranges(world, low, high):
    depth = np.stack([render_scene(world, 0, index)['gt_depth'] for index in range(8)])
    valid = depth[depth > 0]
    assert valid.min() >= low
    assert valid.max() <= high
    assert (depth == 0).any() == (world == 'streets')  # the sky has no depth


@pytest.mark.parametrize('world', WORLDS)
def test_a_world_knows_its_typical_depth(world):
    medians = []
    for index in range(40):
        depth = render_scene(world, 1, index, image_size=(24, 32))['gt_depth']
        medians.append(np.median(depth[depth > 0]))
    low, high = WORLDS[world].typical_depth
    assert low < np.median(medians) < high


def test_lidar_keeps_some_exact_depth_on_lines():
    dense, sparse = (
        render_scene('streets', 0, 2, image_size=(96, 320), lidar=lidar)['gt_depth']
        for lidar in (0, 1)
    )
    has_depth = sparse > 0
    assert 0.02 < has_depth.mean() < 0.6
    assert np.array_equal(sparse[has_depth], dense[has_depth])


def test_dataset_length_cache_and_range():
    dataset = SyntheticDataset(num_scenes=3, split='test', cache=True, max_depth=2.5)
    assert len(dataset) == 3
    first = dataset[1]
    first['img'][:] = 0
    assert dataset[1]['img'].any()  # a cached scene is not changed by who used it
    assert dataset[1]['gt_depth'].max() <= 2.5
    with pytest.raises(IndexError):
        dataset[3]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(world='room'), 'rooms, streets'),
        (dict(num_scenes=0), 'at least 1'),
        (dict(split='dev'), 'train, val, test'),
    ],
)
def test_wrong_arguments_are_answered_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        SyntheticDataset(**arguments)[0]
