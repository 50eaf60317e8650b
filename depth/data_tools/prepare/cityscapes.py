"""Cityscapes."""

import re
from collections.abc import Iterator

from .base import Archive, Preparer


class CityscapesPreparer(Preparer):
    """Images, disparities and cameras; the archives need an account."""

    ROOT = 'data/cityscapes'
    PAGE = 'https://www.cityscapes-dataset.com'
    LICENCE = 'its own, non-commercial, account needed'
    CONFIG = 'configs/_base_/datasets/cityscapes.py'
    PARTS = {'trainvaltest': '2975 training, 500 validation images', 'trainextra': '19998 further images'}
    DEFAULT_PARTS = ('trainvaltest',)
    BY_HAND = 'log in at https://www.cityscapes-dataset.com/downloads/ and download them there'
    KEPT = re.compile(r'^(leftImg8bit|disparity|camera)/(train|val|test|train_extra)/[^/]+/[^/]+\.(png|json)$')
    SIZES = {
        'leftImg8bit_trainvaltest': '11 GB',
        'disparity_trainvaltest': '3.5 GB',
        'camera_trainvaltest': '2 MB',
        'leftImg8bit_trainextra': '44 GB',
        'disparity_trainextra': '15 GB',
        'camera_trainextra': '8 MB',
    }

    def archives(self) -> list[Archive]:
        """Return three archives a part."""
        names = [f'{what}_{part}' for part in self.parts for what in ('leftImg8bit', 'disparity', 'camera')]
        return [Archive(f'{name}.zip', None, self.SIZES[name]) for name in names]

    def place(self, archive: Archive, member: str) -> str | None:
        """Keep images, disparities and cameras, as they are stored."""
        return member if self.KEPT.search(member) else None

    def look(self) -> Iterator[str]:
        """Count images and disparities."""
        for split in sorted((self.root / 'leftImg8bit').iterdir()):
            counts = [len(list((self.root / what / split.name).glob('*/*'))) for what in ('leftImg8bit', 'disparity')]
            yield f'{split.name}: {counts[0]} images, {counts[1]} disparities'
