"""KITTI raw: whole drives with both colour cameras and laser scans."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from depth.atomic_write import write_atomically

from .base import Archive, Preparer
from .unpack import Write, copy_member

SERVER = 'https://s3.eu-central-1.amazonaws.com/avg-kitti/raw_data'
JPEG_QUALITY = 92  # with colour at half size, as the self-supervised methods convert


def drive_archive(drive: str) -> Archive:
    """Return the archive of a drive such as ``2011_09_26_drive_0001_sync``."""
    return Archive(f'{drive}.zip', f'{SERVER}/{drive.removesuffix("_sync")}/{drive}.zip', 'a part of 175 GB')


def calibration_archive(day: str) -> Archive:
    """Return the calibration of a recording day."""
    return Archive(f'{day}_calib.zip', f'{SERVER}/{day}_calib.zip', '4 kB')


class KITTIRawPreparer(Preparer):
    """The 61 drives of the split files of the self-supervised methods, PNG or, with ``--jpg``, JPEG."""

    ROOT = 'data/kitti_raw'
    PAGE = 'https://www.cvlibs.net/datasets/kitti/raw_data.php'
    LICENCE = 'CC BY-NC-SA 3.0'
    CONFIG = 'projects/EPCDepth/configs/EPCDepth/epcdepth_r18_kitti_192x640.py'
    PARTS = {'train': 'drives of the training and validation list', 'test': 'drives of the Eigen test list'}
    DEFAULT_PARTS = ('train', 'test')
    FILES = {'train': ('eigen_full_train.txt', 'eigen_full_val.txt'), 'test': ('eigen_test.txt',)}
    KEPT = re.compile(r'/(image_0[23]|velodyne_points)/data/\d{10}\.(png|bin)$|/calib_\w+\.txt$')

    def check_parts(self) -> None:
        """Take the split files of the chosen parts."""
        super().check_parts()
        self.SPLITS = {name: f'splits/{name}' for part in self.parts for name in self.FILES[part]}

    def archives(self) -> list[Archive]:
        """Return the drives that the lists name, and the calibration of their days."""
        drives = sorted({line.split()[0].split('/')[1] for line in self.list_lines()})
        days = sorted({drive[:10] for drive in drives})
        return [calibration_archive(day) for day in days] + [drive_archive(drive) for drive in drives]

    def plan(self) -> list[str]:
        """Say that the lists tell which drives are fetched."""
        lines = super().plan()
        if not self.list_lines():
            lines.append(f'download {SERVER}/...   the drives that the lists will name, up to 175 GB in all')
        return lines

    def place(self, archive: Archive, member: str) -> str | None:
        """Keep the colour cameras, the scans and the calibration, as they are stored."""
        if not self.KEPT.search(member):
            return None
        return re.sub(r'\.png$', '.jpg', member) if self.options.jpg else member

    def writer(self, archive: Archive) -> Write:
        """Convert images if that was asked for."""
        return write_jpeg if self.options.jpg else copy_member

    def look(self) -> Iterator[str]:
        """Count what the lists name and the disk has."""
        for target in self.SPLITS.values():
            lines = (self.root / target).read_text(encoding='utf-8').splitlines()
            there = sum(self._exists(*line.split()) for line in lines)
            yield f'{self.root / target}: {there} of {len(lines)} images are there'

    def _exists(self, drive: str, frame: str, side: str) -> bool:
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
        raise ValueError(f'the image for {target} cannot be decoded; delete the archive and fetch it again')
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    write_atomically(target, cv2.imencode('.jpg', img, settings)[1].tobytes())
    return target
