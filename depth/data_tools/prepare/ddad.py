"""DDAD."""

import re
from collections.abc import Iterator

from .base import Archive, Preparer


class DDADPreparer(Preparer):
    """The scene files as published: training and validation in one archive."""

    ROOT = 'data/ddad'
    PAGE = 'https://github.com/TRI-ML/DDAD'
    LICENCE = 'CC BY-NC-SA 4.0'
    CONFIG = 'configs/_base_/datasets/ddad.py'
    URL = 'https://tri-ml-public.s3.amazonaws.com/github/DDAD/datasets/DDAD.tar'
    KEPT = re.compile(r'(?:^|/)(ddad\.json|\d{6}/(?:scene_\w+\.json|calibration/.+\.json|rgb/.+|point_cloud/.+\.npz))$')

    def archives(self) -> list[Archive]:
        """Return the one archive."""
        return [Archive('DDAD.tar', self.URL, '257 GB')]

    def place(self, archive: Archive, member: str) -> str | None:
        """Take the folder around it away."""
        found = self.KEPT.search(member)
        return found.group(1) if found else None

    def look(self) -> Iterator[str]:
        """Count the scenes."""
        yield f'{self.root}: {len(list(self.root.glob("[0-9]*/scene_*.json")))} scenes of 200'
