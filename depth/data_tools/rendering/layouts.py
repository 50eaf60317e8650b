"""Rendered scenes on disk: the base of all layouts, and those of folders and of NYU Depth v2."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import write_atomically
from depth.datasets.nyu import NYUDataset
from depth.datasets.scenes import camera_matrix, render_scene
from depth.depth_codes import encode_uint16

MARKER = 'rendered.json'  # in the root of every rendered layout: what follows is no measurement


class Layout:
    """One on-disk layout of rendered scenes.

    Args:
        seed: Another seed gives other scenes.
        image_size: (height, width) in pixels; the real data set's by default.
        world: One of :data:`depth.datasets.scenes.WORLDS`; the layout's by default.
        focal_share: Focal length as a share of the width; the layout's camera by default.
    """

    WORLD = 'rooms'
    IMAGE_SIZE = (96, 128)
    # fx, fy, cx, cy in pixels at IMAGE_SIZE; None for the camera of the world.
    INTRINSIC: tuple[float, float, float, float] | None = None
    DEPTH_SCALE = 1000.0
    SPLITS = ('train', 'test')
    OPTIONS: dict = {}

    def __init__(
        self,
        seed: int = 0,
        image_size: tuple[int, int] | None = None,
        world: str | None = None,
        focal_share: float | None = None,
    ) -> None:
        self.seed = seed
        self.focal_share = focal_share
        self.world = world or self.WORLD
        self.image_size = tuple(image_size or self.IMAGE_SIZE)

    @property
    def intrinsic(self) -> np.ndarray:
        """The pinhole matrix (3, 3) in pixels: the real camera's, scaled with the image, if any."""
        if self.INTRINSIC is None or self.focal_share is not None:
            return camera_matrix(self.world, self.image_size, self.focal_share)
        (fx, fy, cx, cy), (height, width) = self.INTRINSIC, self.image_size
        down, across = height / self.IMAGE_SIZE[0], width / self.IMAGE_SIZE[1]
        # Pixel centres are at whole numbers, so the corner, not the centre of pixel 0, stays where
        # it is.
        center = (cx + 0.5) * across - 0.5, (cy + 0.5) * down - 0.5
        return np.array([[fx * across, 0, center[0]], [0, fy * down, center[1]], [0, 0, 1]])

    def render(self, split: str, index: int) -> dict:
        """Render scene ``index`` of a split, see :func:`~depth.datasets.scenes.render_scene`."""
        return render_scene(
            self.world,
            self.seed,
            index,
            split,
            self.image_size,
            intrinsic=self.intrinsic,
            **self.OPTIONS,
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
        progress: Called with the iterator over finished scenes and their number; wraps it to show
            progress.

    Raises:
        FileExistsError: If the folder holds something that was not rendered.
        ValueError: If a number of scenes is not positive.
    """
    root = Path(root)
    if min(counts.values()) < 1:
        raise ValueError(f'each split needs at least one scene, got {counts}')
    if root.is_dir() and any(root.iterdir()) and not (root / MARKER).is_file():
        raise FileExistsError(
            f'{root} is not empty and holds no {MARKER}, so it may be real data; choose another '
            'folder'
        )
    root.mkdir(parents=True, exist_ok=True)
    # The marker comes first: files of an interrupted run are already known as rendered.
    content = dict(
        note='rendered scenes in the layout of a real data set; results on them are no results on '
        'it',
        layout=type(layout).__name__,
        world=layout.world,
        seed=layout.seed,
        image_size=list(layout.image_size),
        counts=counts,
    )
    write_atomically(root / MARKER, json.dumps(content, indent=2) + '\n')
    scenes = []
    for split, count in counts.items():
        scenes += [(split, index) for index in range(count)]
    wrap = progress or (lambda items, _total: items)
    write = functools.partial(_write, layout, root)
    with contextlib.ExitStack() as stack:
        apply = map
        if workers > 1:
            apply = stack.enter_context(ProcessPoolExecutor(workers)).map
        for _ in wrap(apply(write, scenes), len(scenes)):
            pass
    # Last, so that a layout whose rendering was interrupted is not taken for a whole one.
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
        raise OSError(
            f'{path}: OpenCV cannot encode {picture.shape} {picture.dtype} as {path.suffix}'
        )
    write_atomically(path, encoded.tobytes())


def write_depth(path: Path, depth: np.ndarray, depth_scale: float) -> None:
    """Write depth (H, W), metres, 0 = none, as 16-bit PNG of ``depth_scale`` integers a metre."""
    write_picture(path, encode_uint16(depth, depth_scale))


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file of these lines and make its folder."""
    write_atomically(path, '\n'.join(lines) + '\n')


class FolderLayout(Layout):
    """``SPLIT/images/N.png``, ``SPLIT/depth/N.png``, ``SPLIT/intrinsics.json``.

    Args:
        only: Write this split alone, right below the root.
        **kwargs: See :class:`Layout`.
    """

    SPLITS = ('train', 'val')

    def __init__(self, only: str | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.only = only
        self.depth_scale = 256.0 if self.world == 'streets' else 1000.0

    def _folder(self, root: Path, split: str) -> Path:
        return root if self.only else root / split

    def write_scene(self, root: Path, split: str, index: int) -> None:
        """Write image and depth."""
        scene, folder = self.render(split, index), self._folder(root, split)
        write_picture(folder / 'images' / f'{index:05d}.png', scene['img'])
        write_depth(folder / 'depth' / f'{index:05d}.png', scene['gt_depth'], self.depth_scale)

    def write_lists(self, root: Path, counts: dict[str, int]) -> None:
        """Write the camera."""
        (fx, _, cx), (_, fy, cy) = self.intrinsic[:2].tolist()
        for split in counts:
            path = self._folder(root, split) / 'intrinsics.json'
            write_atomically(path, json.dumps(dict(fx=fx, fy=fy, cx=cx, cy=cy), indent=2) + '\n')


(_FX, _, _CX), (_, _FY, _CY) = NYUDataset.CAM_INTRINSIC[:2]
# Kinds of rooms, so that methods which learn the kind find a label; the picture does not depend on
# it.
KINDS = ('kitchen', 'living_room', 'bedroom', 'office')
KINDS += ('dining_room', 'bathroom', 'study', 'classroom')
FIRST_SCENE = {'train': 9000, 'test': 9500}  # numbers that the real data set does not use


class NYULayout(Layout):
    """``SCENE/rgb_N.jpg``, ``SCENE/sync_depth_N.png``, NYU's two lists and camera."""

    IMAGE_SIZE = (480, 640)
    INTRINSIC = (_FX, _FY, _CX, _CY)

    @staticmethod
    def _names(split: str, index: int) -> tuple[str, str]:
        scene = f'{KINDS[index % len(KINDS)]}_{FIRST_SCENE[split] + index // 4:04d}'
        return f'{scene}/rgb_{index:05d}.jpg', f'{scene}/sync_depth_{index:05d}.png'

    def write_scene(self, root: Path, split: str, index: int) -> None:
        """Write image and depth."""
        scene, (image, depth) = self.render(split, index), self._names(split, index)
        write_picture(root / image, scene['img'])
        write_depth(root / depth, scene['gt_depth'], self.DEPTH_SCALE)

    def write_lists(self, root: Path, counts: dict[str, int]) -> None:
        """Write the split files; lines of the training list begin with a slash, as published."""
        for split, count in counts.items():
            slash = '/' if split == 'train' else ''
            names = (self._names(split, index) for index in range(count))
            lines = [f'{slash}{image} {slash}{depth} {_FX}' for image, depth in names]
            write_lines(root / f'nyu_{split}.txt', lines)
