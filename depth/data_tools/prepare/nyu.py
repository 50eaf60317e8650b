"""NYU Depth v2: the test images and their list from the labelled file, the training images from an archive."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import write_atomically
from depth.datasets.nyu_labeled import NYULabeledDataset, recordings_of_test_frames
from depth.datasets.transforms.loading import load_depth, load_image

from .base import Archive, Preparer

SERVER = 'http://horatio.cs.nyu.edu/mit/silberman'
LABELED = Archive(
    'nyu_depth_v2_labeled.mat', f'{SERVER}/nyu_depth_v2/nyu_depth_v2_labeled.mat', '2.8 GB', unpacked=False
)
SPLITS = Archive('splits.mat', f'{SERVER}/indoor_seg_sup/splits.mat', '3 kB', unpacked=False)
SYNC = Archive('sync.zip')
FOCAL = '518.8579'
BORDER = np.s_[7:474, 7:632]  # rows and columns that the colour camera saw; the published test images are black around
# Of the published test list with its lines sorted: its order cannot be told from the .mat files, and does not matter.
SORTED_TEST_LIST = '04eac934985bfae54d7bd3114d471bc527c65ef6e49f9e9d0c365405e3f8f3e0'


class NYUPreparer(Preparer):
    """The 654 test images as BTS and all after it have them, and the 24231 training images."""

    ROOT = 'data/nyu'
    PAGE = 'https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html'
    LICENCE = 'no licence stated, research use with citation'
    CONFIG = 'configs/densedepth/densedepth_r50_nyu.py'
    PARTS = {
        'test': '654 images from the labelled file',
        'train': '24231 images from sync.zip',
        'raw': 'nyu_raw_train.txt, a list of all synchronised frames that are there',
    }
    DEFAULT_PARTS = ('test', 'train')
    BY_HAND = (
        'the synchronised training frames are shared by the authors of BTS (https://github.com/cleinc/bts, "sync.zip" '
        'in its NYU section)'
    )

    def check_parts(self) -> None:
        """The training list is needed with the training images only."""
        super().check_parts()
        if 'train' in self.parts:
            self.SPLITS = {'nyu_train.txt': 'nyu_train.txt'}

    def archives(self) -> list[Archive]:
        """Return the two .mat files, and the training images."""
        return [LABELED, SPLITS] * bool({'test', 'raw'} & {*self.parts}) + [SYNC] * ('train' in self.parts)

    def place(self, archive: Archive, member: str) -> str | None:
        """Put each scene's folder right below the root, whatever folder is around it."""
        parts = member.split('/')
        wanted = parts[-1].startswith(('rgb_', 'sync_depth_')) and len(parts) >= 2
        return '/'.join(parts[-2:]) if wanted else None

    def finish(self) -> None:
        """Write the test images, their depth and their list; the list of the raw set."""
        if 'test' in self.parts:
            lines = sorted(self._write_test_images())
            self._write_test_list(lines)
        if 'raw' in self.parts:
            self._write_raw_list()

    def _write_test_images(self) -> Iterator[str]:
        dataset = NYULabeledDataset(str(self.archive_folder), split='test', raw_depth=True)
        tell = self.progress('test images')
        for number in range(len(dataset)):
            sample = dataset.get_data_info(number)
            frame, scene = sample['frame'], sample['scene']
            image, depth = f'{scene}/rgb_{frame:05d}.jpg', f'{scene}/sync_depth_{frame:05d}.png'
            if not (self.root / depth).is_file():
                self._write_frame(sample, self.root / image, self.root / depth)
            if tell:
                tell(number + 1, len(dataset))
            yield f'{image} {depth} {FOCAL}'

    @staticmethod
    def _write_frame(sample: dict, image: Path, depth: Path) -> None:
        img = load_image(sample)
        framed = np.zeros_like(img)
        framed[BORDER] = img[BORDER]
        write_atomically(image, cv2.imencode(image.suffix, framed)[1].tobytes())
        stored = (load_depth(sample) * 1000).astype(np.uint16)  # cut, not rounded, as published
        write_atomically(depth, cv2.imencode(depth.suffix, stored)[1].tobytes())

    def _write_test_list(self, lines: list[str]) -> None:
        target = self.root / 'nyu_test.txt'
        rebuilt = hashlib.sha256('\n'.join(lines).encode()).hexdigest()
        if rebuilt != SORTED_TEST_LIST:
            self.say(f'{len(lines)} test images: not the lines of the published list, are both .mat files complete?')
        if self.options.splits is not None:
            self.provide_split('nyu_test.txt', target)
        elif not target.is_file():
            write_atomically(target, '\n'.join(lines))
            same = 'the published lines, sorted' if rebuilt == SORTED_TEST_LIST else 'rebuilt from the .mat files'
            self.say(f'{target}: {len(lines)} lines ({same})')

    def _write_raw_list(self) -> None:
        """List every synchronised pair of a recording that no official test frame is from.

        Parts of one recording (``kitchen_0004a``, ``kitchen_0004b``) count as that recording.
        """
        labeled, splits = (self.archive_folder / archive.name for archive in (LABELED, SPLITS))
        kept_out = {_recording(name) for name in recordings_of_test_frames(labeled, splits)}
        scenes = sorted(path for path in self.root.iterdir() if re.search(r'_\d{4}[a-z]?$', path.name))
        lines = []
        for scene in (scene for scene in scenes if _recording(scene.name) not in kept_out):
            for image in sorted(scene.glob('rgb_*.jpg')):
                depth = scene / f'sync_depth_{image.stem.removeprefix("rgb_")}.png'
                if depth.is_file():
                    lines.append(f'/{scene.name}/{image.name} /{scene.name}/{depth.name} {FOCAL}')
        if not lines:
            raise FileNotFoundError(
                f'{self.root} holds no synchronised frames SCENE_NNNN/rgb_N.jpg and sync_depth_N.png; put them there '
                'first, as the toolbox of the data set or sync.zip has them'
            )
        target = self.root / 'nyu_raw_train.txt'
        write_atomically(target, '\n'.join(lines) + '\n')
        self.say(f'{target}: {len(lines)} lines, without the {len(kept_out)} recordings of the test images')

    def look(self) -> Iterator[str]:
        """Count what the lists name and the disk has."""
        for name in ('nyu_train.txt', 'nyu_test.txt'):
            path = self.root / name
            if path.is_file():
                lines = [line.split()[:2] for line in path.read_text(encoding='utf-8').splitlines()]
                there = sum(all((self.root / name.lstrip('/')).is_file() for name in line) for line in lines)
                yield f'{path}: {there} of {len(lines)} pairs are there'


def _recording(scene: str) -> str:
    """Return the recording that a folder of the raw set is a part of."""
    return re.sub(r'[a-z]$', '', scene)


class NYULabeledPreparer(Preparer):
    """The labelled file as released."""

    ROOT = 'data/nyu_labeled'
    PAGE = NYUPreparer.PAGE
    LICENCE = NYUPreparer.LICENCE
    CONFIG = 'configs/_base_/datasets/nyu_labeled.py'

    def archives(self) -> list[Archive]:
        """Return the two .mat files."""
        return [LABELED, SPLITS]

    def finish(self) -> None:
        """Put the files where the data set looks for them."""
        for archive in (LABELED, SPLITS):
            link = self.root / archive.name
            if not link.exists():
                link.symlink_to((self.archive_folder / archive.name).resolve())

    def look(self) -> Iterator[str]:
        """Count the frames."""
        for split in ('train', 'test'):
            yield f'{split}: {len(NYULabeledDataset(str(self.root), split=split))} frames'
