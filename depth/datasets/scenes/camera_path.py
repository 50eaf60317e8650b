"""Camera paths through procedural scenes: frames with exact depth and pose."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from .render import WORLDS, _generator, _render_view, camera_matrix, draw_scene
from .scene import camera_rotation

TURN = np.deg2rad([8.0, 2.0, 1.0])  # largest yaw, pitch and roll relative to the scene's camera


def render_path(
    world: str,
    seed: int,
    index: int,
    num_frames: int,
    split: str = 'test',
    image_size: tuple[int, int] = (96, 128),
    noise: float = 0.01,
) -> Iterator[dict]:
    """Render a scene from a camera that sways sideways, moves forward and turns.

    Args:
        world: One of :data:`WORLDS`.
        seed: Seed of the data set.
        index: Number of the scene.
        num_frames: Length of the path; a longer one is slower, not longer in metres.
        split: ``train``, ``val`` or ``test``.
        image_size: (height, width) in pixels.
        noise: Standard deviation of the sensor noise, as a share of full scale.

    Yields:
        For each frame ``img`` (H, W, 3) uint8 BGR; ``gt_depth`` (H, W) float32, metres, 0 = none;
        ``cam_intrinsic`` (3, 3); ``cam_to_world`` (4, 4) float64, metres.

    Raises:
        ValueError: If world, split or a number is impossible.
    """
    if num_frames < 1:
        raise ValueError(f'a camera path has at least one frame, got {num_frames}')
    scene = draw_scene(world, seed, index, split)
    intrinsic = camera_matrix(world, image_size)
    rng = _generator(world, seed, index, split, 2)
    phase = rng.uniform(0, 2 * np.pi, 3)
    sideways, upward, forward = WORLDS[world].excursion
    for time in np.linspace(0, 1, num_frames):
        # Two swings sideways, one up and down, and forward all the way.
        angle = 2 * np.pi * time
        position = np.array(
            [
                sideways * np.sin(2 * angle + phase[0]),
                upward * np.sin(angle + phase[1]),
                forward * time,
            ]
        )
        yaw, pitch, roll = TURN * np.sin(angle + phase)
        rotation = scene.rotation @ camera_rotation(yaw, pitch, roll)
        view = dataclasses.replace(scene, rotation=rotation)
        img, depth, _ = _render_view(view, position, intrinsic, image_size, noise, rng)
        cam_to_world = np.eye(4)
        cam_to_world[:3, :3], cam_to_world[:3, 3] = rotation, position
        yield dict(img=img, gt_depth=depth, cam_intrinsic=intrinsic, cam_to_world=cam_to_world)
