"""SUN RGB-D, iBims-1, DIODE and Hypersim."""

import csv
import re
from collections.abc import Iterator

from .base import Archive, Preparer
from .download import download


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
            target.write_text('\n'.join(names) + '\n', encoding='utf-8')

    def look(self) -> Iterator[str]:
        """Count the images."""
        for folder in self.FOLDERS:
            yield f'{self.root / folder}: {len(list((self.root / folder).iterdir()))} files of 100'


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


class HypersimPreparer(Preparer):
    """Previews and distances of the scenes that the published split names; parts are scenes."""

    ROOT = 'data/hypersim'
    PAGE = 'https://github.com/apple/ml-hypersim'
    LICENCE = 'CC BY-SA 3.0'
    CONFIG = 'configs/_base_/datasets/hypersim.py'
    CSV = 'metadata_images_split_scene_v1.csv'
    CSV_URL = (
        'https://raw.githubusercontent.com/apple/ml-hypersim/8d92d18dcd71980134ca283f71ccd4ed1231bdd2/'
        f'evermotion_dataset/analysis/{CSV}'
    )
    SERVER = 'https://docs-assets.developer.apple.com/ml-research/datasets/hypersim/v1/scenes'
    KEPT = re.compile(
        r'^ai_\d{3}_\d{3}/images/scene_cam_\d\d_('
        r'final_preview/frame\.\d{4}\.tonemap\.jpg|geometry_hdf5/frame\.\d{4}\.depth_meters\.hdf5)$'
    )

    def check_parts(self) -> None:
        """Parts are scene names or splits."""
        wrong = [part for part in self.parts if not re.fullmatch(r'ai_\d{3}_\d{3}|train|val|test', part)]
        if wrong:
            raise ValueError(f'--parts: {wrong[0]!r} is no scene such as ai_001_001 and no split (train, val, test)')

    def plan(self) -> list[str]:
        """Say where the split comes from."""
        there = (self.root / self.CSV).is_file()
        return super().plan() + ([] if there else [f'split    {self.CSV}: {self.CSV_URL}, it names the scenes'])

    def run(self) -> None:
        """Fetch the split's file first: it names the scenes."""
        if not (self.root / self.CSV).is_file():
            download(self.CSV_URL, self.root / self.CSV)
        super().run()

    def archives(self) -> list[Archive]:
        """Return one archive a scene; all released ones without parts, none before the split's file is there."""
        path = self.root / self.CSV
        scenes = {part for part in self.parts if part.startswith('ai_')}
        if path.is_file():
            with path.open(newline='', encoding='utf-8') as file:
                rows = [row for row in csv.DictReader(file) if row['included_in_public_release'] == 'True']
            wanted = {row['scene_name'] for row in rows if not self.parts or row['split_partition_name'] in self.parts}
            scenes |= wanted
        sizes = 'about 1.9 TB for all scenes'
        return [Archive(f'{scene}.zip', f'{self.SERVER}/{scene}.zip', sizes) for scene in sorted(scenes)]

    def place(self, archive: Archive, member: str) -> str | None:
        """Keep the tone-mapped preview and the distance."""
        return member if self.KEPT.search(member) else None

    def look(self) -> Iterator[str]:
        """Count the images."""
        yield f'{self.root}: {len(list(self.root.glob("ai_*/images/*/*.tonemap.jpg")))} images'
