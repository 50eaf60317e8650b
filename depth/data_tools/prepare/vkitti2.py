"""Virtual KITTI 2."""

import re
from collections.abc import Iterator

from .base import Archive, Preparer


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
