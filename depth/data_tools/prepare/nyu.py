"""NYU Depth v2: test images and list from the labelled file, training images from an archive."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from depth.atomic_write import write_atomically
from depth.datasets.nyu_labeled import NYULabeledDataset, recordings_of_test_frames
from depth.datasets.transforms.loading import load_depth, load_image

from .base import Archive, Preparer, count_listed_pairs

LABELED, SPLIT_INDICES = NYULabeledDataset.ARCHIVES
FOCAL = '518.8579'
# Rows and columns that the colour camera saw; the published test images are black around them.
BORDER = np.s_[7:474, 7:632]
# Of the published test list with its lines sorted: its order cannot be told from the .mat files,
# and does not matter.
SORTED_TEST_LIST = '04eac934985bfae54d7bd3114d471bc527c65ef6e49f9e9d0c365405e3f8f3e0'


class NYUPreparer(Preparer):
    """The 654 test images as BTS and all after it have them, and the 24231 training images."""

    def find_split_targets(self) -> dict[str, str]:
        """Return the training list; the test list is written with the test images."""
        targets = super().find_split_targets()
        targets.pop('nyu_test.txt', None)
        return targets

    def archives(self) -> list[Archive]:
        """Return the two .mat files, and the training images."""
        archives = super().archives()
        if 'test' in self.parts or 'raw' in self.parts:
            archives = [LABELED, SPLIT_INDICES, *archives]
        return archives

    def target_path(self, archive: Archive, member: str) -> str | None:
        """Return the path below the scene's folder, without the folders around it."""
        path = PurePosixPath(member)
        if not path.name.startswith(('rgb_', 'sync_depth_')) or not path.parent.name:
            return None
        return f'{path.parent.name}/{path.name}'

    def finish(self) -> None:
        """Write the test images, their depth and their list; the list of the raw set."""
        if 'test' in self.parts:
            lines = sorted(self._write_test_images())
            self._write_test_list(lines)
        if 'raw' in self.parts:
            self._write_raw_list()

    def _write_test_images(self) -> Iterator[str]:
        dataset = NYULabeledDataset(str(self.archive_folder), split='test', raw_depth=True)
        report_progress = self.progress('test images')
        for number in range(len(dataset)):
            sample = dataset.get_data_info(number)
            frame, scene = sample['frame'], sample['scene']
            image, depth = f'{scene}/rgb_{frame:05d}.jpg', f'{scene}/sync_depth_{frame:05d}.png'
            if not (self.root / depth).is_file():
                self._write_frame(sample, self.root / image, self.root / depth)
            if report_progress:
                report_progress(number + 1, len(dataset))
            yield f'{image} {depth} {FOCAL}'

    @staticmethod
    def _write_frame(sample: dict, image: Path, depth: Path) -> None:
        img = load_image(sample)
        framed = np.zeros_like(img)
        framed[BORDER] = img[BORDER]
        write_atomically(image, cv2.imencode(image.suffix, framed)[1].tobytes())
        # Cut to whole millimetres, not rounded, as published.
        stored = (load_depth(sample) * 1000).astype(np.uint16)
        write_atomically(depth, cv2.imencode(depth.suffix, stored)[1].tobytes())

    def _write_test_list(self, lines: list[str]) -> None:
        target = self.root / 'nyu_test.txt'
        rebuilt = hashlib.sha256('\n'.join(lines).encode()).hexdigest()
        if rebuilt != SORTED_TEST_LIST:
            self.say(
                f'{len(lines)} test images: not the lines of the published list, are both .mat '
                'files complete?'
            )
        if self.options.splits is not None:
            self.provide_split('nyu_test.txt', target)
        elif not target.is_file():
            write_atomically(target, '\n'.join(lines))
            source = 'rebuilt from the .mat files'
            if rebuilt == SORTED_TEST_LIST:
                source = 'the published lines, sorted'
            self.say(f'{target}: {len(lines)} lines ({source})')

    def _write_raw_list(self) -> None:
        """List every synchronised pair of a recording that no official test frame is from.

        Parts of one recording (``kitchen_0004a``, ``kitchen_0004b``) count as that recording.
        """
        labeled = self.archive_folder / LABELED.name
        indices = self.archive_folder / SPLIT_INDICES.name
        test_scenes = recordings_of_test_frames(labeled, indices)
        test_recordings = {_recording(name) for name in test_scenes}
        lines = []
        for scene in sorted(self.root.iterdir()):
            is_scene = re.search(r'_\d{4}[a-z]?$', scene.name)
            if not is_scene or _recording(scene.name) in test_recordings:
                continue
            for image in sorted(scene.glob('rgb_*.jpg')):
                depth = scene / f'sync_depth_{image.stem.removeprefix("rgb_")}.png'
                if depth.is_file():
                    lines.append(f'/{scene.name}/{image.name} /{scene.name}/{depth.name} {FOCAL}')
        if not lines:
            raise FileNotFoundError(
                f'{self.root} holds no synchronised frames SCENE_NNNN/rgb_N.jpg and '
                'sync_depth_N.png; put them there first, as the toolbox of the data set or '
                'sync.zip has them'
            )
        target = self.root / 'nyu_raw_train.txt'
        write_atomically(target, '\n'.join(lines) + '\n')
        self.say(
            f'{target}: {len(lines)} lines, without the {len(test_recordings)} recordings of the '
            'test images'
        )

    def count_files(self) -> Iterator[str]:
        """Count the listed pairs that exist."""
        for name in ('nyu_train.txt', 'nyu_test.txt'):
            path = self.root / name
            if path.is_file():
                yield count_listed_pairs(path, self.root)


def _recording(scene: str) -> str:
    """Return the recording that a folder of the raw set is a part of."""
    return re.sub(r'[a-z]$', '', scene)


class NYULabeledPreparer(Preparer):
    """The labelled file as released."""

    def finish(self) -> None:
        """Link the files into the folder that the data set reads."""
        # Links: the file is 2.8 GB and is read where it was downloaded to.
        for archive in self.archives():
            link = self.root / archive.name
            if not link.exists():
                link.symlink_to((self.archive_folder / archive.name).resolve())

    def count_files(self) -> Iterator[str]:
        """Count the frames."""
        for split in ('train', 'test'):
            yield f'{split}: {len(NYULabeledDataset(str(self.root), split=split))} frames'
