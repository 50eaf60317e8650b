"""World ``desks``: things on a desk, 0.15 to 3 m deep, lit by a lamp near the camera."""

import numpy as np

from .scene import Scene, Shape, camera_rotation, draw_material
from .world import World


def draw_desk(rng: np.random.RandomState) -> Scene:
    """Draw a desk; the camera looks down on it from 0.25 to 0.6 m above, towards a wall."""
    height = rng.uniform(0.25, 0.6)  # of the camera above the desk
    left, right = rng.uniform(0.4, 1.0, 2)
    # Uniform in log depth: near and far walls get equal shares.
    front = np.exp(rng.uniform(np.log(0.7), np.log(2.6)))
    lower = np.array([-left, -rng.uniform(0.4, 0.9), -0.2])
    upper = np.array([right, height, front])
    top = draw_material(rng, 0.25, 0.9, 0.12, 0.35)
    plain = [draw_material(rng, 0.4, 0.95, 0.3, 0.15) for _ in range(5)]
    walls = [plain[0], plain[1], plain[2], top, plain[3], plain[4]]
    things = [_draw_thing(rng, lower, upper) for _ in range(rng.randint(3, 10))]
    yaw, pitch, roll = rng.uniform(-1, 1, 3) * np.deg2rad([20, 8, 3]) + np.deg2rad([0, 16, 0])
    lamp = rng.uniform([-0.2, -0.3, -0.1], [0.2, 0.0, 0.1])
    return Scene(
        'desks',
        things,
        camera_rotation(yaw, pitch, roll),
        lamp,
        3.0,
        (lower, upper),
        walls,
        rng.uniform(0.9, 1.1),
    )


def _draw_thing(rng: np.random.RandomState, lower: np.ndarray, upper: np.ndarray) -> Shape:
    """Put a book, ball or cup on the desk, at least 0.15 m in front of the camera."""
    radius = rng.uniform(0.03, 0.1)
    nearest = 0.2 + radius
    x = rng.uniform(lower[0] + 0.1, upper[0] - 0.1)
    z = rng.uniform(nearest, max(upper[2] - 0.1, nearest + 0.05))
    material = draw_material(rng, 0.15, 0.95, rng.uniform(0.04, 0.1), 0.3)
    kind = ('box', 'sphere', 'cylinder')[rng.randint(3)]
    if kind == 'sphere':
        arguments = dict(center=np.array([x, upper[1] - radius, z]), radius=radius)
    elif kind == 'cylinder':
        height = rng.uniform(0.07, 0.2)
        center = np.array([x, upper[1] - height / 2, z])
        arguments = dict(center=center, radius=radius * 0.6, height=height)
    else:
        extent = np.array([2 * radius, rng.uniform(0.02, 0.2), 3 * radius])
        center = np.array([x, upper[1] - extent[1] / 2, z])
        arguments = dict(center=center, size=extent, yaw=rng.uniform(0, np.pi))
    return Shape(kind, arguments, material)


DESKS = World(
    draw=draw_desk,
    depth_range=(1e-3, 3.0),
    category='desk',
    focal_share=0.85,
    baseline=0.03,
    excursion=(0.08, 0.03, 0.08),
    typical_depth=(0.5, 1.4),
    lamp_range=0.8,
)
