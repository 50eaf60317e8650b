"""Hypersim."""

import csv
import re
from collections.abc import Iterator

from .base import Archive, Preparer
from .download import download


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
