"""SUN RGB-D."""

import re
from collections.abc import Iterator

from .base import Archive, Preparer


class SUNRGBDPreparer(Preparer):
    """Images and depth of all four cameras, with the list of the 5050 test images."""

    ROOT = 'data/sunrgbd'
    PAGE = 'https://rgbd.cs.princeton.edu'
    LICENCE = 'none stated, academic use with citation'
    CONFIG = 'configs/_base_/datasets/sunrgbd.py'
    SPLITS = {'SUNRGBD_val_splits.txt': 'SUNRGBD_val_splits.txt'}
    KEPT = re.compile(r'^SUNRGBD/.*/(image/[^/]+\.jpg|depth/[^/]+\.png|intrinsics\.txt)$')

    def archives(self) -> list[Archive]:
        """Return the one archive."""
        return [Archive('SUNRGBD.zip', 'https://rgbd.cs.princeton.edu/data/SUNRGBD.zip', '6.4 GB')]

    def place(self, archive: Archive, member: str) -> str | None:
        """Keep images, depth as stored and intrinsics."""
        return member if self.KEPT.search(member) else None

    def look(self) -> Iterator[str]:
        """Count what the list names and the disk has."""
        path = self.root / 'SUNRGBD_val_splits.txt'
        lines = [line.split()[:2] for line in path.read_text(encoding='utf-8').splitlines()]
        there = sum(all((self.root / name).is_file() for name in line) for line in lines)
        yield f'{path}: {there} of {len(lines)} pairs are there'
