"""KITTI: raw drives, and the depth benchmark's ground truth and test images."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from depth.atomic_write import write_atomically
from depth.datasets.kitti import GROUND_TRUTH_ARCHIVE

from .base import Archive, Preparer
from .unpack import Write, copy_member, is_unpacked, member_names

RAW_SERVER = 'https://s3.eu-central-1.amazonaws.com/avg-kitti/raw_data'
DRIVE = re.compile(r'\d{4}_\d\d_\d\d_drive_\d{4}_sync')
GROUND_TRUTH = re.compile(
    r'(?:^|/)(train|val)/([^/]+_sync)/(proj_depth/groundtruth/image_0[23]/\d{10}\.png)$'
)


class KITTIEigenPreparer(Preparer):
    """Images and ground truth that the Eigen lists name."""

    EXTRA_LISTS: tuple[str, ...] = ()  # written here, not published
    CAMERAS = ('image_02',)

    def archives(self) -> list[Archive]:
        """Return the ground truth and, unless there is a copy of the raw set, the listed drives."""
        archives = super().archives()
        if 'images' in self.parts and self.options.raw is None:
            archives += [drive_archive(drive) for drive in self._drives()]
        return archives

    def _drives(self) -> list[str]:
        """Return the drives of the lists; none before the lists are there."""
        text = '\n'.join(self.list_lines())
        return sorted(set(DRIVE.findall(text)))

    def mark_name(self, archive: Archive) -> str:
        """Return the name under which an archive is remembered, of a drive with its cameras."""
        if not DRIVE.match(archive.name):
            return archive.name
        # A drive that was unpacked for the Eigen lists lacks the right camera of the benchmark's.
        return f'{"-".join(self.CAMERAS)}-{archive.name}'

    def is_prepared(self, archive: Archive) -> bool:
        """Return whether the drive was unpacked before, with these cameras or with both."""
        return super().is_prepared(archive) or is_unpacked(
            self.root, f'image_02-image_03-{archive.name}'
        )

    def plan(self) -> list[str]:
        """Return the steps in words; before the lists exist, their drives are one step."""
        lines = super().plan()
        if 'images' in self.parts and self.options.raw is None and not self._drives():
            lines.append(
                f'download {RAW_SERVER}/...   the drives that the lists will name, up to 175 GB in '
                'all'
            )
        return lines

    def target_path(self, archive: Archive, member: str) -> str | None:
        """Return paths below ``gt_depth`` for ground truth, below ``input`` for images."""
        if archive == GROUND_TRUTH_ARCHIVE:
            # The archive sorts drives into `train/` and `val/`, the class reads them side by side.
            match = GROUND_TRUTH.search(member)
            return f'gt_depth/{match.group(2)}/{match.group(3)}' if match else None
        is_of_camera = any(f'/{camera}/data/' in member for camera in self.CAMERAS)
        if not is_of_camera or not member.endswith('.png'):
            return None
        return f'input/{member}'

    def _unpack(self, archive: Archive, path: Path) -> None:
        if archive == GROUND_TRUTH_ARCHIVE:
            self._write_training_list(path)
        super()._unpack(archive, path)

    def _write_training_list(self, path: Path) -> None:
        """List the benchmark's ground truth of ``train/``, apart from that of validation."""
        lines = []
        for name in sorted(member_names(path)):
            match = GROUND_TRUTH.search(name)
            if not match or match.group(1) != 'train':
                continue
            drive, depth = match.group(2), match.group(3)
            camera, frame = depth.split('/')[-2:]
            lines.append(f'{drive[:10]}/{drive}/{camera}/data/{frame} {drive}/{depth}')
        target = self.root / 'kitti_benchmark_train.txt'
        write_atomically(target, '\n'.join(lines) + '\n')
        self.say(f'{target}: {len(lines)} lines, from the folders of {path.name}')

    def finish(self) -> None:
        """Link a copy of the raw set, day by day."""
        raw = self.options.raw
        if raw is None or 'images' not in self.parts:
            return
        days = []
        for path in sorted(Path(raw).iterdir()):
            if re.fullmatch(r'\d{4}_\d\d_\d\d', path.name):
                days.append(path)
        if not days:
            raise FileNotFoundError(f'--raw {raw} holds no recording day such as 2011_09_26/')
        (self.root / 'input').mkdir(exist_ok=True)
        for day in days:
            link = self.root / 'input' / day.name
            if not link.exists():
                link.symlink_to(day.resolve(), target_is_directory=True)
        self.say(f'{self.root / "input"}: {len(days)} days of {raw} linked')

    def count_files(self) -> Iterator[str]:
        """Count the listed files that exist."""
        for target in itertools.chain(self.EXTRA_LISTS, self.split_targets.values()):
            path = self.root / target
            if path.is_file():
                yield f'{path}: {self._count(path)}'

    def _count(self, path: Path) -> str:
        """Return in words how many of the files of a list exist."""
        lines = [line.split() for line in path.read_text(encoding='utf-8').splitlines()]
        # The benchmark's test list names images alone; its ground truth is secret.
        if len(lines[0]) == 1:
            count = sum((self.root / 'benchmark_test' / line[0]).is_file() for line in lines)
            return f'{count} of {len(lines)} images are there'
        images = depths = depths_there = 0
        for image, depth, *_ in lines:
            images += self._image_exists(image)
            # The Eigen lists say `None` for the frames that the benchmark has no ground truth of.
            if depth != 'None':
                depths += 1
                depths_there += (self.root / 'gt_depth' / depth).is_file()
        return (
            f'{images} of {len(lines)} images and {depths_there} of {depths} depth maps are there'
        )

    def _image_exists(self, name: str) -> bool:
        # The lists name PNG files; many copies of the raw set are converted to JPEG.
        path = self.root / 'input' / name
        return path.is_file() or path.with_suffix('.jpg').is_file()


class KITTIBenchmarkPreparer(KITTIEigenPreparer):
    """The benchmark's training and validation drives, both cameras, and its 500 test images."""

    EXTRA_LISTS = ('kitti_benchmark_train.txt',)
    CAMERAS = ('image_02', 'image_03')
    TEST = re.compile(
        r'(?:^|/)test_depth_prediction_anonymous/(image|intrinsics)/(\d{10}\.(?:png|txt))$'
    )

    def _drives(self) -> list[str]:
        drives = super()._drives()
        training = self.root / 'kitti_benchmark_train.txt'
        if training.is_file():
            drives += DRIVE.findall(training.read_text(encoding='utf-8'))
        return sorted(set(drives))

    def target_path(self, archive: Archive, member: str) -> str | None:
        """Return the paths of test images and cameras in ``benchmark_test(_cam)``."""
        if archive.part != 'test':
            return super().target_path(archive, member)
        match = self.TEST.search(member)
        if not match:
            return None
        folder = 'benchmark_test' if match.group(1) == 'image' else 'benchmark_test_cam'
        return f'{folder}/{match.group(2)}'

    def finish(self) -> None:
        """Fetch the drives of the training list just written, then as for the Eigen lists."""
        missing = [archive for archive in self.archives() if not self.is_prepared(archive)]
        if missing:
            self._ask_about(missing)
            for archive in missing:
                self._unpack(archive, self._fetch(archive))
        super().finish()


class KITTICompletionPreparer(KITTIBenchmarkPreparer):
    """The benchmark's drives with their laser scans, and the selections of depth completion."""

    SELECTIONS = re.compile(
        r'(?:^|/)((?:val_selection_cropped|test_depth_completion_anonymous)/\w+/[^/]+\.(?:png|txt))$'
    )
    POINTS = re.compile(
        r'(?:^|/)(?:train|val)/([^/]+_sync/proj_depth/velodyne_raw/image_0[23]/\d{10}\.png)$'
    )

    def target_path(self, archive: Archive, member: str) -> str | None:
        """Return paths in ``depth_selection`` and ``velodyne_raw``, others as for the benchmark."""
        if archive.part == 'selection':
            match = self.SELECTIONS.search(member)
            return f'depth_selection/{match.group(1)}' if match else None
        if archive.part == 'points':
            match = self.POINTS.search(member)
            return f'velodyne_raw/{match.group(1)}' if match else None
        return super().target_path(archive, member)

    def count_files(self) -> Iterator[str]:
        """Count the frames of the selections, then as for the benchmark."""
        for folder in ('val_selection_cropped', 'test_depth_completion_anonymous'):
            path = self.root / 'depth_selection' / folder
            yield f'{path}: {sum(1 for _ in path.glob("velodyne_raw/*.png"))} frames with points'
        yield from super().count_files()


JPEG_QUALITY = 92  # with colour at half size, as the self-supervised methods convert


def drive_archive(drive: str) -> Archive:
    """Return the archive of a drive such as ``2011_09_26_drive_0001_sync``."""
    return Archive(
        f'{drive}.zip',
        f'{RAW_SERVER}/{drive.removesuffix("_sync")}/{drive}.zip',
        'a part of 175 GB',
    )


def calibration_archive(day: str) -> Archive:
    """Return the calibration of a recording day."""
    return Archive(f'{day}_calib.zip', f'{RAW_SERVER}/{day}_calib.zip', '4 kB')


class KITTIRawPreparer(Preparer):
    """The 61 drives of the self-supervised methods' lists, PNG or, with ``--jpg``, JPEG."""

    NEEDED = re.compile(r'/(image_0[23]|velodyne_points)/data/\d{10}\.(png|bin)$|/calib_\w+\.txt$')

    def archives(self) -> list[Archive]:
        """Return the drives that the lists name, and the calibration of their days."""
        drives = sorted({line.split()[0].split('/')[1] for line in self.list_lines()})
        days = sorted({drive[:10] for drive in drives})
        archives = list(map(calibration_archive, days))
        archives += map(drive_archive, drives)
        return archives

    def plan(self) -> list[str]:
        """Return the steps in words; before the lists exist, their drives are one step."""
        lines = super().plan()
        if not self.list_lines():
            lines.append(
                f'download {RAW_SERVER}/...   the drives that the lists will name, up to 175 GB in '
                'all'
            )
        return lines

    def target_path(self, archive: Archive, member: str) -> str | None:
        """Keep the colour cameras, the scans and the calibration, as they are stored."""
        if not self.NEEDED.search(member):
            return None
        if self.options.jpg:
            return re.sub(r'\.png$', '.jpg', member)
        return member

    def writer(self, archive: Archive) -> Write:
        """Convert images if that was asked for."""
        return write_jpeg if self.options.jpg else copy_member

    def count_files(self) -> Iterator[str]:
        """Count the listed images that exist."""
        for target in self.split_targets.values():
            lines = (self.root / target).read_text(encoding='utf-8').splitlines()
            count = sum(self._image_exists(line) for line in lines)
            yield f'{self.root / target}: {count} of {len(lines)} images are there'

    def _image_exists(self, line: str) -> bool:
        drive, frame, side = line.split()
        camera = {'l': 'image_02', 'r': 'image_03'}[side]
        path = self.root / drive / camera / 'data' / f'{int(frame):010d}.png'
        return path.is_file() or path.with_suffix('.jpg').is_file()


def write_jpeg(source: BinaryIO, target: Path) -> Path:
    """Write an image as JPEG, anything else as it is.

    Raises:
        ValueError: If the image cannot be decoded.
    """
    if target.suffix != '.jpg':
        return copy_member(source, target)
    img = cv2.imdecode(np.frombuffer(source.read(), np.uint8), cv2.IMREAD_COLOR)
    if img is None:
        raise ValueError(
            f'the image for {target} cannot be decoded; delete the archive and fetch it again'
        )
    # 4:2:0, OpenCV's default, spelt out: the published conversion used ImageMagick with
    # 2x2,1x1,1x1.
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    write_atomically(target, cv2.imencode('.jpg', img, settings)[1].tobytes())
    return target
