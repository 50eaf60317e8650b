"""Description of a scene: shapes, materials, light and camera."""

from dataclasses import dataclass, field

import numpy as np

from . import geometry

NUM_WAVES = 5


@dataclass
class Material:
    """Base colour and a band-limited texture: plane waves over the surface, cycles per metre."""

    color: np.ndarray  # (3,) RGB in [0, 1]
    frequencies: np.ndarray  # (NUM_WAVES, 3) cycles per metre along x, y, z
    phases: np.ndarray  # (NUM_WAVES,)
    amplitudes: np.ndarray  # (NUM_WAVES,) share of the base colour


@dataclass
class Shape:
    """One solid: a kind of ``geometry``, its arguments and a material."""

    kind: str
    arguments: dict
    material: Material

    def intersect(
        self,
        origin: np.ndarray,
        directions: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return t (M,) and outward normals (M, 3) of rays, see :mod:`.geometry`."""
        return getattr(geometry, f'intersect_{self.kind}')(origin, directions, **self.arguments)


@dataclass
class Scene:
    """All randomly drawn properties of one scene.

    Attributes:
        world: ``rooms``, ``streets`` or ``desks``.
        shapes: Solids; the walls of a room are not among them.
        rotation: (3, 3) camera to world; the left camera sits at the origin.
        light: (3,) position of the lamp (indoors) or direction towards the sun.
        max_depth: Metres; nothing is measured beyond.
        room: Lower and upper corner of the room, None outdoors.
        walls: Materials of the six walls: left, right, ceiling, floor, back, front.
        brightness: Exposure.
        even_light: Whether ``light`` is a direction indoors too.
    """

    world: str
    shapes: list[Shape]
    rotation: np.ndarray
    light: np.ndarray
    max_depth: float
    room: tuple[np.ndarray, np.ndarray] | None = None
    walls: list[Material] = field(default_factory=list)
    brightness: float = 1.0
    even_light: bool = False


def draw_material(
    rng: np.random.RandomState,
    color_low: float,
    color_high: float,
    wavelength: float,
    contrast: float,
) -> Material:
    """Draw a material: tiles of period ``wavelength`` (metres) with coarser, weaker waves."""
    color = rng.uniform(color_low, color_high, 3)
    tile = 1 / wavelength
    frequencies = np.concatenate(
        [np.eye(3) * tile, rng.uniform(-0.6, 0.6, (NUM_WAVES - 3, 3)) * tile],
    )
    amplitudes = contrast * np.concatenate([np.full(3, 0.6), np.full(NUM_WAVES - 3, 0.5)])
    return Material(color, frequencies, rng.uniform(0, 2 * np.pi, NUM_WAVES), amplitudes)


def camera_rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the camera-to-world rotation (3, 3) for angles in radians.

    Positive yaw looks right, positive pitch looks down.
    """
    cy, sy = np.cos(yaw), np.sin(yaw)
    cp, sp = np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    tilt = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    lean = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return turn @ tilt @ lean
