"""Intersections of rays with boxes, spheres, cylinders, the ground and the walls of a room.

Axes are those of a camera that looks straight ahead: x right, y down, z forward, metres.
Rays are ``origin + t * directions``. With directions whose third camera coordinate is 1, t is
the depth along the optical axis. Every function returns ``t`` (M,), infinite where a ray misses,
and the outward normals (M, 3).
"""

import numpy as np

EPSILON = 1e-9


def intersect_room(
    origin: np.ndarray,
    directions: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intersect rays from inside with the walls of an axis-aligned box.

    Also returns the number (M,) of the wall that is hit: 2 * axis, plus 1 at the upper side.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        exits = np.where(directions > 0, upper - origin, lower - origin) / directions
    # A ray along a wall never meets it: 0 / 0 or a huge number becomes infinite.
    exits = np.where(np.abs(directions) < EPSILON, np.inf, exits)
    axis = exits.argmin(axis=1)
    rows = np.arange(len(directions))
    towards_upper = directions[rows, axis] > 0
    normals = np.zeros_like(directions)
    normals[rows, axis] = np.where(towards_upper, -1.0, 1.0)
    return exits[rows, axis], normals, 2 * axis + towards_upper


def intersect_ground(
    origin: np.ndarray,
    directions: np.ndarray,
    height: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Intersect rays with the horizontal plane ``y = height``, from above (y points down)."""
    with np.errstate(divide='ignore', invalid='ignore'):
        t = (height - origin[1]) / directions[:, 1]
    normals = np.tile([0.0, -1.0, 0.0], (len(directions), 1))
    return np.where(directions[:, 1] > EPSILON, t, np.inf), normals


def intersect_box(
    origin: np.ndarray,
    directions: np.ndarray,
    center: np.ndarray,
    size: np.ndarray,
    yaw: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Intersect rays with a box of extent ``size``, turned by ``yaw`` radians about y."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    to_local = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
    local_origin = to_local @ (origin - center)
    local = directions @ to_local.T
    local = np.where(np.abs(local) < EPSILON, EPSILON, local)
    # Slabs: a ray is inside the box between its last entry and its first exit of the three slabs.
    near = (-np.sign(local) * size / 2 - local_origin) / local
    far = (np.sign(local) * size / 2 - local_origin) / local
    axis = near.argmax(axis=1)
    rows = np.arange(len(local))
    t = near[rows, axis]
    hit = (t > EPSILON) & (t <= far.min(axis=1))
    normals = np.zeros_like(local)
    normals[rows, axis] = -np.sign(local[rows, axis])
    return np.where(hit, t, np.inf), normals @ to_local


def intersect_sphere(
    origin: np.ndarray,
    directions: np.ndarray,
    center: np.ndarray,
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Intersect rays with a sphere, from outside."""
    offset = origin - center
    t = _smaller_root((directions**2).sum(axis=1), directions @ offset, offset @ offset - radius**2)
    return t, _normals_from(origin, directions, t, center) / radius


def intersect_cylinder(
    origin: np.ndarray,
    directions: np.ndarray,
    center: np.ndarray,
    radius: float,
    height: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Intersect rays with an upright, closed cylinder whose middle is ``center``."""
    offset = origin - center
    flat = directions * [1.0, 0.0, 1.0]
    a, b = (flat**2).sum(axis=1), flat @ offset
    side = _smaller_root(a, b, offset[0] ** 2 + offset[2] ** 2 - radius**2)
    # The side is that of an endless cylinder, cut off at the ends; the caps are discs.
    with np.errstate(invalid='ignore'):
        side = np.where(np.abs(offset[1] + side * directions[:, 1]) <= height / 2, side, np.inf)
    side_normals = _normals_from(origin, directions, side, center) * [1.0, 0.0, 1.0] / radius
    ends = -np.sign(directions[:, 1])  # the end that faces the ray
    with np.errstate(divide='ignore', invalid='ignore'):
        cap = (ends * height / 2 - offset[1]) / directions[:, 1]
        x, z = offset[0] + cap * directions[:, 0], offset[2] + cap * directions[:, 2]
        cap = np.where((cap > EPSILON) & (x**2 + z**2 <= radius**2), cap, np.inf)
    cap_normals = np.stack([np.zeros_like(ends), ends, np.zeros_like(ends)], axis=1)
    return np.minimum(side, cap), np.where((side < cap)[:, None], side_normals, cap_normals)


def _smaller_root(a: np.ndarray, half_b: np.ndarray, c: float) -> np.ndarray:
    """Return the smaller root of ``a t^2 + 2 half_b t + c``, infinite if none is positive."""
    discriminant = half_b**2 - a * c
    with np.errstate(invalid='ignore', divide='ignore'):
        t = (-half_b - np.sqrt(np.maximum(discriminant, 0))) / a
    return np.where((discriminant > 0) & (t > EPSILON), t, np.inf)


def _normals_from(
    origin: np.ndarray,
    directions: np.ndarray,
    t: np.ndarray,
    center: np.ndarray,
) -> np.ndarray:
    """Return the vectors (M, 3) from ``center`` to the points that rays hit."""
    # A miss has an infinite t, which would make NaN of the vector.
    return origin + np.where(np.isfinite(t), t, 0)[:, None] * directions - center
