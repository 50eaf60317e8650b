"""DIODE."""

from collections.abc import Iterator

from .base import Archive, Preparer


class DIODEPreparer(Preparer):
    """Indoor and outdoor scenes of one laser scanner."""

    ROOT = 'data/diode'
    PAGE = 'https://diode-dataset.org'
    LICENCE = 'MIT'
    CONFIG = 'configs/_base_/datasets/diode_indoor.py'
    PARTS = {'val': '325 indoor and 446 outdoor images, 2.6 GB', 'train': '81 GB'}
    DEFAULT_PARTS = ('val',)
    SERVER = 'http://diode-dataset.s3.amazonaws.com'

    def archives(self) -> list[Archive]:
        """Return the archives of the chosen parts."""
        sizes = {'val': '2.6 GB', 'train': '81 GB'}
        return [Archive(f'{part}.tar.gz', f'{self.SERVER}/{part}.tar.gz', sizes[part]) for part in self.parts]

    def place(self, archive: Archive, member: str) -> str | None:
        """Keep images, depth and masks."""
        name = archive.name.removesuffix('.tar.gz')
        return member if member.startswith(f'{name}/') and member.endswith(('.png', '.npy')) else None

    def look(self) -> Iterator[str]:
        """Count the images."""
        for part in self.parts:
            for folder in ('indoors', 'outdoor'):
                count = len(list((self.root / part / folder).glob('*/*/*.png')))
                yield f'{self.root / part / folder}: {count} images'
