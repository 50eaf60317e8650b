"""World ``streets``: a road between buildings, 1 to 80 m deep, in sunlight and light haze."""

import numpy as np

from .scene import Scene, Shape, camera_rotation, draw_material
from .world import World

CAMERA_HEIGHT = 1.65  # metres, as on the KITTI car


def draw_street(rng: np.random.RandomState) -> Scene:
    """Draw a street; the left camera is 1.65 m above the road."""
    half_width = rng.uniform(4.5, 8.0)
    shift = rng.uniform(-1.5, 1.5)
    road = Shape('ground', dict(height=CAMERA_HEIGHT), draw_material(rng, 0.3, 0.45, 3.0, 0.25))
    shapes = [road]
    for side in (-1, 1):
        shapes += _draw_fronts(rng, side * half_width + shift, side)
        shapes += _draw_poles(rng, side * (half_width - 1.0) + shift)
    shapes += [_draw_car(rng, half_width, shift) for _ in range(rng.randint(2, 8))]
    yaw, pitch, roll = rng.uniform(-1, 1, 3) * np.deg2rad([4, 1.5, 1])
    rotation = camera_rotation(yaw, pitch, roll)
    sun = np.array([rng.uniform(-0.8, 0.8), -1.0, rng.uniform(-0.9, -0.2)])
    sun /= np.linalg.norm(sun)
    return Scene('streets', shapes, rotation, sun, 80.0, brightness=rng.uniform(0.85, 1.15))


def _draw_fronts(rng: np.random.RandomState, x: float, side: int) -> list[Shape]:
    """Draw the buildings along one side, with gaps that show the sky."""
    shapes, z = [], rng.uniform(-5, 3)
    while z < 80:
        length = rng.uniform(8, 22)
        height = rng.uniform(4, 14)
        depth = rng.uniform(6, 12)
        setback = rng.uniform(0, 2.5)
        center = np.array(
            [x + side * (depth / 2 + setback), CAMERA_HEIGHT - height / 2, z + length / 2],
        )
        material = draw_material(rng, 0.4, 0.95, rng.uniform(2.0, 3.5), 0.3)
        shapes.append(
            Shape(
                'box',
                dict(center=center, size=np.array([depth, height, length]), yaw=0.0),
                material,
            ),
        )
        # Every third building is followed by a gap.
        z += length + rng.choice([0.0, 0.0, rng.uniform(3, 10)])
    return shapes


def _draw_poles(rng: np.random.RandomState, x: float) -> list[Shape]:
    material = draw_material(rng, 0.25, 0.6, 1.5, 0.2)
    first, step = rng.uniform(6, 15), rng.uniform(14, 25)
    height = rng.uniform(4, 7)
    poles = []
    for z in np.arange(first, 60, step):
        center = np.array([x, CAMERA_HEIGHT - height / 2, z])
        poles.append(Shape('cylinder', dict(center=center, radius=0.12, height=height), material))
    return poles


def _draw_car(rng: np.random.RandomState, half_width: float, shift: float) -> Shape:
    lane = rng.choice([-1, 1]) * half_width * rng.uniform(0.3, 0.65) + shift
    size = np.array([1.8, rng.uniform(1.4, 1.9), 4.2])
    center = np.array([lane, CAMERA_HEIGHT - size[1] / 2, rng.uniform(6, 55)])
    yaw = rng.uniform(-0.1, 0.1)
    material = draw_material(rng, 0.1, 0.9, 1.2, 0.25)
    return Shape('box', dict(center=center, size=size, yaw=yaw), material)


STREETS = World(
    draw=draw_street,
    depth_range=(1e-3, 80.0),
    category='outdoor_scene',
    focal_share=0.75,
    baseline=0.54,
    excursion=(0.6, 0.1, 4.0),
    typical_depth=(8.0, 15.0),
    camera_height=CAMERA_HEIGHT,
    haze_range=60.0,
)
