"""What all rendered layouts share."""

import functools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import write_atomically
from depth.datasets.scenes import camera_matrix, render_scene
from depth.depth_codes import encode_uint16

MARKER = 'rendered.json'  # in the root of every rendered layout: what follows is no measurement


class Layout:
    """One on-disk layout of rendered scenes.

    Args:
        seed: Another seed gives other scenes.
        image_size: (height, width) in pixels; the real data set's by default.
        world: ``rooms`` or ``streets``; the layout's by default.
    """

    WORLD = 'rooms'
    IMAGE_SIZE = (96, 128)
    INTRINSIC: tuple[float, float, float, float] | None = None  # fx, fy, cx, cy in pixels at IMAGE_SIZE
    DEPTH_SCALE = 1000.0
    SPLITS = ('train', 'test')
    OPTIONS: dict = {}

    def __init__(self, seed: int = 0, image_size: tuple[int, int] | None = None, world: str | None = None) -> None:
        self.seed = seed
        self.world = world or self.WORLD
        self.image_size = tuple(image_size or self.IMAGE_SIZE)

    @property
    def intrinsic(self) -> np.ndarray:
        """The pinhole matrix (3, 3) in pixels; the real camera's, scaled with the image, where there is one."""
        if self.INTRINSIC is None:
            return camera_matrix(self.world, self.image_size)
        (fx, fy, cx, cy), (height, width) = self.INTRINSIC, self.image_size
        down, across = height / self.IMAGE_SIZE[0], width / self.IMAGE_SIZE[1]
        # Pixel centres are at whole numbers, so the corner, not the centre of pixel 0, stays where it is.
        center = (cx + 0.5) * across - 0.5, (cy + 0.5) * down - 0.5
        return np.array([[fx * across, 0, center[0]], [0, fy * down, center[1]], [0, 0, 1]])

    def render(self, split: str, index: int) -> dict:
        """Render scene ``index`` of a split, see :func:`~depth.datasets.scenes.render_scene`."""
        return render_scene(
            self.world, self.seed, index, split, self.image_size, intrinsic=self.intrinsic, **self.OPTIONS
        )

    def write_scene(self, root: Path, split: str, index: int) -> None:
        """Render a scene and write its files."""
        raise NotImplementedError

    def write_lists(self, root: Path, counts: dict[str, int]) -> None:
        """Write what there is once: split files, cameras."""
        raise NotImplementedError


def render_layout(
    layout: Layout,
    root: str | Path,
    counts: dict[str, int],
    workers: int = 1,
    progress: Callable[[Iterator, int], Iterator] | None = None,
) -> None:
    """Write a layout.

    Args:
        layout: Which.
        root: Folder that receives it; new, empty, or rendered before.
        counts: How many scenes of each split.
        workers: Processes.
        progress: Called with the iterator over finished scenes and their number; wraps it to show progress.

    Raises:
        FileExistsError: If the folder holds something that was not rendered.
        ValueError: If a number of scenes is not positive.
    """
    root = Path(root)
    if min(counts.values()) < 1:
        raise ValueError(f'each split needs at least one scene, got {counts}')
    if root.is_dir() and any(root.iterdir()) and not (root / MARKER).is_file():
        raise FileExistsError(
            f'{root} is not empty and holds no {MARKER}, so it may be real data; choose another folder'
        )
    root.mkdir(parents=True, exist_ok=True)
    content = dict(
        note='rendered scenes in the layout of a real data set; results on them are no results on it',
        layout=type(layout).__name__,
        world=layout.world,
        seed=layout.seed,
        image_size=list(layout.image_size),
        counts=counts,
    )
    write_atomically(root / MARKER, json.dumps(content, indent=2) + '\n')
    scenes = [(split, index) for split, count in counts.items() for index in range(count)]
    wrap = progress or (lambda items, _total: items)
    write = functools.partial(_write, layout, root)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            for _ in wrap(pool.map(write, scenes), len(scenes)):
                pass
    else:
        for _ in wrap(map(write, scenes), len(scenes)):
            pass
    layout.write_lists(root, counts)


def _write(layout: Layout, root: Path, scene: tuple[str, int]) -> None:
    layout.write_scene(root, *scene)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write an image (H, W, 3) BGR uint8 or a map (H, W) uint16 and make its folder.

    Raises:
        OSError: If it cannot be written.
    """
    written, encoded = cv2.imencode(path.suffix, picture)
    if not written:
        raise OSError(f'{path}: OpenCV cannot encode {picture.shape} {picture.dtype} as {path.suffix}')
    write_atomically(path, encoded.tobytes())


def write_depth(path: Path, depth: np.ndarray, depth_scale: float) -> None:
    """Write depth (H, W) in metres, 0 = none, as 16-bit PNG of ``depth_scale`` integers per metre."""
    write_picture(path, encode_uint16(depth, depth_scale))


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file of these lines and make its folder."""
    write_atomically(path, '\n'.join(lines) + '\n')
