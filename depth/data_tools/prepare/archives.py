"""Data sets whose archives need more than unpacking: iBims-1 and Hypersim."""

import csv
import re

from depth.atomic_write import write_atomically

from .base import Archive, Preparer
from .download import download


class IBimsPreparer(Preparer):
    """The 100 images of the core set, as PNG."""

    def finish(self) -> None:
        """Write the list of base names if the archive had none."""
        # Some copies of the archive lack the list. It holds all images, so it can be made again.
        target = self.root / 'imagelist.txt'
        if not target.is_file():
            names = sorted(path.stem for path in (self.root / 'rgb').glob('*.png'))
            write_atomically(target, '\n'.join(names) + '\n')


class HypersimPreparer(Preparer):
    """Previews and distances of the scenes that the published split names; parts are scenes."""

    CSV = 'metadata_images_split_scene_v1.csv'
    CSV_URL = (
        'https://raw.githubusercontent.com/apple/ml-hypersim/8d92d18dcd71980134ca283f71ccd4ed1231bdd2/'
        f'evermotion_dataset/analysis/{CSV}'
    )
    SERVER = 'https://docs-assets.developer.apple.com/ml-research/datasets/hypersim/v1/scenes'

    def check_parts(self) -> None:
        """Refuse parts that are neither scene names nor splits."""
        for name in self.parts:
            if not re.fullmatch(r'ai_\d{3}_\d{3}|train|val|test', name):
                raise ValueError(
                    f'--parts: {name!r} is no scene such as ai_001_001 and no split '
                    '(train, val, test)'
                )

    def plan(self) -> list[str]:
        """Return the steps in words, with the address of the split's file."""
        lines = super().plan()
        if not (self.root / self.CSV).is_file():
            lines.append(f'split    {self.CSV}: {self.CSV_URL}, it names the scenes')
        return lines

    def run(self) -> None:
        """Fetch the split's file, which names the scenes, then prepare them."""
        if not (self.root / self.CSV).is_file():
            download(self.CSV_URL, self.root / self.CSV)
        super().run()

    def archives(self) -> list[Archive]:
        """Return one archive a scene; without parts all released ones.

        Before the split's file exists these are the scenes that the parts name.
        """
        path = self.root / self.CSV
        scenes = {name for name in self.parts if name.startswith('ai_')}
        if path.is_file():
            with path.open(newline='', encoding='utf-8') as file:
                for row in csv.DictReader(file):
                    is_chosen = not self.parts or row['split_partition_name'] in self.parts
                    if is_chosen and row['included_in_public_release'] == 'True':
                        scenes.add(row['scene_name'])
        archives = []
        for scene in sorted(scenes):
            url = f'{self.SERVER}/{scene}.zip'
            archives.append(Archive(f'{scene}.zip', url, 'about 1.9 TB for all scenes'))
        return archives
