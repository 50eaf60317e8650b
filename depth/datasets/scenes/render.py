"""Ray-cast renderer: colour, depth and normals of a scene, and a second rectified view."""

import dataclasses
import functools

import numpy as np

from . import geometry
from .desks import DESKS
from .rooms import ROOMS
from .scene import Material, Scene
from .streets import STREETS
from .world import World

# The position of a world seeds its scenes: new ones come last.
WORLDS: dict[str, World] = {'rooms': ROOMS, 'streets': STREETS, 'desks': DESKS}
SPLITS = ('train', 'val', 'test')
AMBIENT = 0.25  # light of a surface that faces away from the lamp, as a share
# Direction towards the sun of evenly lit rooms: no two walls are equally bright.
ROOM_SUN = np.array([0.36, -0.8, -0.48])
# Below the horizon, 64 lines as on an HDL-64E.
LIDAR_ELEVATIONS = np.deg2rad(np.linspace(-2.0, 24.9, 64))


def camera_matrix(
    world: str, image_size: tuple[int, int], focal_share: float | None = None
) -> np.ndarray:
    """Return the intrinsics (3, 3), in pixels, of a world's camera; pixel centres at integers.

    Args:
        world: One of :data:`WORLDS`.
        image_size: (height, width) in pixels.
        focal_share: Another focal length than the world's, as a share of the width.
    """
    height, width = image_size
    share = WORLDS[world].focal_share if focal_share is None else focal_share
    focal = share * width
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def draw_scene(world: str, seed: int, index: int, split: str = 'train') -> Scene:
    """Draw scene ``index`` at random; equal arguments give equal scenes on every machine.

    Raises:
        ValueError: If the world or split is unknown or a number is negative.
    """
    if world not in WORLDS:
        raise ValueError(f'unknown world {world!r}, there are {", ".join(WORLDS)}')
    if split not in SPLITS:
        raise ValueError(f'unknown split {split!r}, there are {", ".join(SPLITS)}')
    if seed < 0 or index < 0:
        raise ValueError(f'seed and index of a scene must not be negative, got {seed} and {index}')
    # The split is part of the key, so training and test scenes cannot coincide. RandomState's
    # streams are frozen.
    return WORLDS[world].draw(_generator(world, seed, index, split, 0))


def render_scene(
    world: str,
    seed: int,
    index: int,
    split: str = 'train',
    image_size: tuple[int, int] = (96, 128),
    noise: float = 0.01,
    stereo: bool = False,
    lidar: bool = False,
    intrinsic: np.ndarray | None = None,
    even_light: bool = False,
) -> dict:
    """Render one scene.

    Args:
        world: ``rooms`` (0.5 to 10 m), ``streets`` (1 to 80 m) or ``desks`` (0.15 to 3 m).
        seed: Seed of the data set.
        index: Number of the scene.
        split: ``train``, ``val`` or ``test``; different scenes each.
        image_size: (height, width) in pixels.
        noise: Standard deviation of the sensor noise, as a share of full scale.
        stereo: Add a second view, ``baseline`` metres to the right, rectified.
        lidar: Keep depth on 64 scan lines only.
        intrinsic: Another pinhole matrix (3, 3) in pixels than :func:`camera_matrix` gives, without
            skew.
        even_light: Light rooms by a sun instead of the lamp near the camera. The lamp's light falls
            off with the distance, which so can be read off the brightness, whatever the focal
            length; nothing like that is in photos.

    Returns:
        ``img`` (H, W, 3) uint8 BGR; ``gt_depth`` (H, W) float32, metres along the axis, 0 = sky or
        out of range; ``normals`` (H, W, 3) float32 in camera axes, towards the camera; ``gt_sky``
        (H, W) uint8, 1 where a ray meets nothing; ``gt_planes`` (H, W) uint8, 1 to 6 on the walls
        of a room, 0 elsewhere; ``cam_intrinsic`` (3, 3); with ``stereo`` also ``img_right``,
        ``gt_depth_right`` and ``baseline``.
    """
    scene = draw_scene(world, seed, index, split)
    if even_light and WORLDS[world].lamp_range is not None:
        scene = dataclasses.replace(scene, even_light=True, light=ROOM_SUN)
    intrinsic = (
        camera_matrix(world, image_size) if intrinsic is None else np.asarray(intrinsic, np.float64)
    )
    rng = _generator(world, seed, index, split, 1)
    result = _render_view(scene, np.zeros(3), intrinsic, image_size, noise, rng)
    result['cam_intrinsic'] = intrinsic
    if stereo:
        baseline = WORLDS[world].baseline
        position = scene.rotation @ np.array([baseline, 0.0, 0.0])
        right = _render_view(scene, position, intrinsic, image_size, noise, rng)
        result.update(
            img_right=right['img'],
            gt_depth_right=right['gt_depth'],
            baseline=baseline,
        )
    if lidar:
        result['gt_depth'] = result['gt_depth'] * lidar_mask(intrinsic, image_size)
    return result


def lidar_mask(intrinsic: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return the pixels (H, W), bool, that 64 scan lines of a level LiDAR at the camera hit."""
    height, width = image_size
    mask = np.zeros((height, width), bool)
    columns = np.arange(width)
    # A scan line is a cone; in the image it is a hyperbola, lower towards the borders.
    stretch = np.sqrt(1 + ((columns - intrinsic[0, 2]) / intrinsic[0, 0]) ** 2)
    rows = np.rint(
        intrinsic[1, 2] + intrinsic[1, 1] * np.tan(LIDAR_ELEVATIONS)[:, None] * stretch,
    ).astype(int)
    inside = (rows >= 0) & (rows < height)
    mask[rows[inside], np.broadcast_to(columns, rows.shape)[inside]] = True
    return mask


def _generator(world: str, seed: int, index: int, split: str, stream: int) -> np.random.RandomState:
    """Return the generator of one scene: stream 0 draws the scene, stream 1 its sensor noise."""
    key = [list(WORLDS).index(world), SPLITS.index(split), seed, index, stream]
    return np.random.RandomState(key)


@functools.lru_cache(maxsize=8)
def _camera_rays(fx: float, fy: float, cx: float, cy: float, height: int, width: int) -> np.ndarray:
    """Return ray directions (H * W, 3) in camera axes with third coordinate 1."""
    v, u = np.mgrid[:height, :width]
    x, y = (u - cx) / fx, (v - cy) / fy
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)


def _render_view(
    scene: Scene,
    position: np.ndarray,
    intrinsic: np.ndarray,
    image_size: tuple[int, int],
    noise: float,
    rng: np.random.RandomState,
) -> dict[str, np.ndarray]:
    """Return the image of a view and its labels by name, see :func:`render_scene`."""
    fx, fy = intrinsic[0, 0].item(), intrinsic[1, 1].item()
    cx, cy = intrinsic[0, 2].item(), intrinsic[1, 2].item()
    height, width = image_size
    directions = _camera_rays(fx, fy, cx, cy, height, width) @ scene.rotation.T  # (M, 3)
    depth, normals, material = _trace(scene, position, directions)
    hit = np.isfinite(depth)
    points = position + np.where(hit, depth, 0)[:, None] * directions
    footprint = np.where(hit, depth, 0) / intrinsic[0, 0]  # metres per pixel
    color = _shade(scene, points, normals, material, footprint)
    haze_range = WORLDS[scene.world].haze_range
    if haze_range is not None:
        color = _add_haze(color, depth, directions, haze_range)
    color = color * scene.brightness + noise * rng.standard_normal(color.shape)
    img = np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8).reshape(height, width, 3)
    depth = np.where(hit & (depth <= scene.max_depth), depth, 0).astype(np.float32)
    camera_normals = (normals @ scene.rotation).astype(np.float32)
    # The walls have the first material numbers, and there are none outdoors.
    planes = np.where(material < len(scene.walls), material + 1, 0)
    return dict(
        img=np.ascontiguousarray(img[..., ::-1]),
        gt_depth=depth.reshape(height, width),
        normals=camera_normals.reshape(height, width, 3),
        gt_sky=(~hit).astype(np.uint8).reshape(height, width),
        gt_planes=planes.astype(np.uint8).reshape(height, width),
    )


def _trace(
    scene: Scene,
    origin: np.ndarray,
    directions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return depth (M,), normals (M, 3) and material number (M,) of the first hit of each ray."""
    if scene.room is not None:
        lower, upper = scene.room
        depth, normals, material = geometry.intersect_room(origin, directions, lower, upper)
    else:
        depth = np.full(len(directions), np.inf)
        normals = np.zeros_like(directions)
        material = np.zeros(len(directions), int)
    for number, shape in enumerate(scene.shapes, start=len(scene.walls)):
        t, shape_normals = shape.intersect(origin, directions)
        nearer = t < depth
        depth = np.where(nearer, t, depth)
        normals[nearer] = shape_normals[nearer]
        material[nearer] = number
    return depth, normals, material


def _shade(
    scene: Scene,
    points: np.ndarray,
    normals: np.ndarray,
    material: np.ndarray,
    footprint: np.ndarray,
) -> np.ndarray:
    """Return Lambertian RGB (M, 3), equal from all views, so that warped views match exactly."""
    materials: list[Material] = scene.walls + [shape.material for shape in scene.shapes]
    frequencies = np.stack([item.frequencies for item in materials])[material]  # (M, waves, 3)
    phase = np.einsum('mk,mwk->mw', points, frequencies) * (2 * np.pi)
    phase += np.stack([item.phases for item in materials])[material]
    # A Gaussian of one pixel's footprint: what the sensor cannot resolve fades instead of aliasing.
    blur = np.exp(-0.5 * np.square(np.pi * footprint)[:, None] * np.square(frequencies).sum(axis=2))
    waves = np.sin(phase) * np.stack([item.amplitudes for item in materials])[material] * blur
    albedo = np.stack([item.color for item in materials])[material] * (
        1 + waves.sum(axis=1, keepdims=True) / 2
    )
    lamp_range = None if scene.even_light else WORLDS[scene.world].lamp_range
    if lamp_range is None:
        return albedo * (0.45 + 0.65 * np.clip(normals @ scene.light, 0, 1)[:, None])
    to_light = scene.light - points
    distance = np.linalg.norm(to_light, axis=1)
    cosine = np.clip((to_light * normals).sum(axis=1) / np.maximum(distance, 1e-6), 0, 1)
    lamp = (AMBIENT + (1.2 - AMBIENT) * (0.3 + 0.7 * cosine)) / (1 + (distance / lamp_range) ** 2)
    return albedo * lamp[:, None]


def _add_haze(
    color: np.ndarray, depth: np.ndarray, directions: np.ndarray, haze_range: float
) -> np.ndarray:
    """Blend with the sky's colour by distance; rays without a hit show the sky."""
    upwards = np.clip(-directions[:, 1:2] / np.linalg.norm(directions, axis=1, keepdims=True), 0, 1)
    sky = np.array([0.80, 0.87, 0.95]) * (1 - upwards) + np.array([0.45, 0.65, 0.95]) * upwards
    clear = np.exp(-depth / haze_range)[:, None]
    return color * clear + sky * (1 - clear)
