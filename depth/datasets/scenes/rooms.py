"""World ``rooms``: a furnished room, 0.5 to 10 m deep, lit by a lamp near the camera."""

import numpy as np

from .scene import Scene, Shape, camera_rotation, draw_material
from .world import World


def draw_room(rng: np.random.RandomState) -> Scene:
    """Draw a room; the camera at the origin faces the front wall and the furniture."""
    height = rng.uniform(1.2, 1.7)  # of the camera above the floor
    ceiling = rng.uniform(0.9, 1.5)
    left = rng.uniform(0.9, 3.5)
    right = rng.uniform(0.9, 3.5)
    back = rng.uniform(0.3, 1.0)
    # Uniform in log depth: near and far rooms get equal shares.
    front = np.exp(rng.uniform(np.log(2.0), np.log(8.5)))
    lower = np.array([-left, -ceiling, -back])
    upper = np.array([right, height, front])
    plain = [draw_material(rng, 0.45, 0.95, 0.8, 0.12) for _ in range(5)]
    floor = draw_material(rng, 0.3, 0.8, 0.5, 0.35)
    walls = [plain[0], plain[1], plain[2], floor, plain[3], plain[4]]
    furniture = [_draw_furniture(rng, lower, upper) for _ in range(rng.randint(2, 8))]
    angles = rng.uniform(-1, 1, 3) * np.deg2rad([25, 10, 2]) + np.deg2rad([0, 6, 0])
    yaw, pitch, roll = angles
    rotation = camera_rotation(yaw, pitch, roll)
    lamp = rng.uniform([-0.4, -0.6, -0.2], [0.4, 0.0, 0.2])
    brightness = rng.uniform(0.9, 1.1)
    return Scene('rooms', furniture, rotation, lamp, 10.0, (lower, upper), walls, brightness)


def _draw_furniture(rng: np.random.RandomState, lower: np.ndarray, upper: np.ndarray) -> Shape:
    """Put a box, sphere or cylinder on the floor, at least 0.5 m in front of the camera."""
    size = rng.uniform(0.15, 0.6)
    near = 0.6 + size
    x = rng.uniform(lower[0] + 0.3, upper[0] - 0.3)
    z = rng.uniform(near, max(upper[2] - 0.3, near + 0.1))
    material = draw_material(rng, 0.2, 0.95, rng.uniform(0.2, 0.5), 0.3)
    kind = ('box', 'sphere', 'cylinder')[rng.randint(3)]
    if kind == 'sphere':
        arguments = dict(center=np.array([x, upper[1] - size, z]), radius=size)
    else:
        height = rng.uniform(0.4, 1.8)
        center = np.array([x, upper[1] - height / 2, z])
        if kind == 'cylinder':
            arguments = dict(center=center, radius=size * 0.6, height=height)
        else:
            extent = np.array([2 * size, height, 2 * size * rng.uniform(0.5, 1.0)])
            arguments = dict(center=center, size=extent, yaw=rng.uniform(0, np.pi))
    return Shape(kind, arguments, material)


ROOMS = World(
    draw=draw_room,
    depth_range=(1e-3, 10.0),
    category='room',
    focal_share=0.85,
    baseline=0.1,
    excursion=(0.25, 0.08, 0.25),
    typical_depth=(2.0, 4.3),
    lamp_range=3.0,
)
