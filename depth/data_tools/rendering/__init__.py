"""Synthetic scenes on disk, in the layouts of real data sets, so that their configs run without a download."""

from .base import MARKER, Layout, render_layout
from .folder import FolderLayout
from .kitti import KITTILayout
from .kitti_raw import KITTIRawStereoLayout
from .nyu import NYULayout

LAYOUTS = {'folder': FolderLayout, 'nyu': NYULayout, 'kitti': KITTILayout, 'kitti-raw-stereo': KITTIRawStereoLayout}

__all__ = [
    'LAYOUTS',
    'MARKER',
    'FolderLayout',
    'KITTILayout',
    'KITTIRawStereoLayout',
    'Layout',
    'NYULayout',
    'render_layout',
]
