"""Rendered scenes for the folder data set."""

import json
from pathlib import Path

from depth.atomic_write import write_atomically

from .base import Layout, write_depth, write_picture


class FolderLayout(Layout):
    """``SPLIT/images/N.png``, ``SPLIT/depth/N.png`` and ``SPLIT/intrinsics.json``; without ``SPLIT/`` if there is one.

    Args:
        only: Write this split alone, right below the root.
        **kwargs: See :class:`Layout`.
    """

    SPLITS = ('train', 'val')

    def __init__(self, only: str | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.only = only
        # 16 bits of millimetres end at 65 m.
        self.depth_scale = 1000.0 if self.world == 'rooms' else 256.0

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
