"""DIML outdoor."""

import re
from collections.abc import Iterator

from .base import Archive, Preparer


class DIMLPreparer(Preparer):
    """The outdoor test images; the archive is given out on request."""

    ROOT = 'data/diml_outdoor'
    PAGE = 'https://dimlrgbd.github.io'
    LICENCE = 'academic use, on request'
    CONFIG = 'configs/_base_/datasets/diml_outdoor.py'
    BY_HAND = 'ask for the outdoor test set at https://dimlrgbd.github.io and save it under this name'
    KEPT = re.compile(r'(?:^|/)(test/(?:LR|HR)/.*?(?:outleft|depthmap)/[^/]+\.png)$')

    def archives(self) -> list[Archive]:
        """Return the one archive."""
        return [Archive('diml_outdoor_test.zip')]

    def place(self, archive: Archive, member: str) -> str | None:
        """Keep images and depth below ``test``."""
        found = self.KEPT.search(member)
        return found.group(1) if found else None

    def look(self) -> Iterator[str]:
        """Count the images."""
        yield f'{self.root}: {len(list(self.root.glob("test/LR/**/outleft/*.png")))} images of 500 at low resolution'
