"""Cityscapes, Virtual KITTI 2, DDAD and DIML."""

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


class VirtualKITTI2Preparer(Preparer):
    """Images and depth of all scenes and variations."""

    ROOT = 'data/vkitti2'
    PAGE = 'https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2/'
    LICENCE = 'CC BY-NC-SA 3.0'
    CONFIG = 'configs/_base_/datasets/vkitti2.py'
    SERVER = 'https://download.europe.naverlabs.com//virtual_kitti_2.0.3'
    KEPT = re.compile(r'^Scene\d\d/[^/]+/frames/(rgb|depth)/Camera_[01]/(rgb|depth)_\d{5}\.(jpg|png)$')

    def archives(self) -> list[Archive]:
        """Return images and depth."""
        names = ('vkitti_2.0.3_rgb.tar', 'vkitti_2.0.3_depth.tar')
        return [Archive(name, f'{self.SERVER}/{name}', 'about 8 GB') for name in names]

    def place(self, archive: Archive, member: str) -> str | None:
        """Keep both cameras, as they are stored."""
        return member if self.KEPT.search(member) else None

    def look(self) -> Iterator[str]:
        """Count images and depth maps."""
        images = len(list(self.root.glob('Scene*/*/frames/rgb/*/*.jpg')))
        depths = len(list(self.root.glob('Scene*/*/frames/depth/*/*.png')))
        yield f'{self.root}: {images} images and {depths} depth maps of 42520 each'


class DDADPreparer(Preparer):
    """The scene files as published: training and validation in one archive."""

    ROOT = 'data/ddad'
    PAGE = 'https://github.com/TRI-ML/DDAD'
    LICENCE = 'CC BY-NC-SA 4.0'
    CONFIG = 'configs/_base_/datasets/ddad.py'
    URL = 'https://tri-ml-public.s3.amazonaws.com/github/DDAD/datasets/DDAD.tar'
    KEPT = re.compile(r'(?:^|/)(ddad\.json|\d{6}/(?:scene_\w+\.json|calibration/.+\.json|rgb/.+|point_cloud/.+\.npz))$')

    def archives(self) -> list[Archive]:
        """Return the one archive."""
        return [Archive('DDAD.tar', self.URL, '257 GB')]

    def place(self, archive: Archive, member: str) -> str | None:
        """Take the folder around it away."""
        found = self.KEPT.search(member)
        return found.group(1) if found else None

    def look(self) -> Iterator[str]:
        """Count the scenes."""
        yield f'{self.root}: {len(list(self.root.glob("[0-9]*/scene_*.json")))} scenes of 200'


class DIMLPreparer(Preparer):
    """The outdoor test images; the archive is given out on request."""

    ROOT = 'data/diml_outdoor'
    PAGE = 'https://dimlrgbd.github.io'
    LICENCE = 'academic use, on request'
    CONFIG = 'configs/_base_/datasets/diml_outdoor.py'
    BY_HAND = 'ask for the outdoor test set at https://dimlrgbd.github.io and save it under this name'
    KEPT = re.compile(r'(?:^|/)(test/(?:LR|HR)/.*?(?:outleft|depthmap)/[^/]+\.png)$')

    def archives(self) -> list[Archive]:
        """Return the one archive."""
        return [Archive('diml_outdoor_test.zip')]

    def place(self, archive: Archive, member: str) -> str | None:
        """Keep images and depth below ``test``."""
        found = self.KEPT.search(member)
        return found.group(1) if found else None

    def look(self) -> Iterator[str]:
        """Count the images."""
        yield f'{self.root}: {len(list(self.root.glob("test/LR/**/outleft/*.png")))} images of 500 at low resolution'
