"""iBims-1."""

from collections.abc import Iterator

from depth.atomic_write import write_atomically

from .base import Archive, Preparer


class IBimsPreparer(Preparer):
    """The 100 images of the core set, as PNG."""

    ROOT = 'data/ibims1'
    PAGE = 'https://www.asg.ed.tum.de/lmf/ibims1/'
    LICENCE = 'research use, see the archive'
    CONFIG = 'configs/_base_/datasets/ibims.py'
    FOLDERS = ('rgb', 'depth', 'mask_invalid', 'mask_transp', 'calib')
    URL = 'https://dataserv.ub.tum.de/s/m1455541/download?path=%2F&files=ibims1_core_raw.zip'

    def archives(self) -> list[Archive]:
        """Return the one archive."""
        return [Archive('ibims1_core_raw.zip', self.URL, '55 MB')]

    def place(self, archive: Archive, member: str) -> str | None:
        """Take the folder around them away."""
        parts = member.split('/')
        if parts[-1] == 'imagelist.txt':
            return parts[-1]
        return '/'.join(parts[-2:]) if len(parts) >= 2 and parts[-2] in self.FOLDERS else None

    def finish(self) -> None:
        """Write the list of base names if the archive had none."""
        target = self.root / 'imagelist.txt'
        if not target.is_file():
            names = sorted(path.stem for path in (self.root / 'rgb').glob('*.png'))
            write_atomically(target, '\n'.join(names) + '\n')

    def look(self) -> Iterator[str]:
        """Count the images."""
        for folder in self.FOLDERS:
            yield f'{self.root / folder}: {len(list((self.root / folder).iterdir()))} files of 100'
