"""Synthetic scenes on disk in the layouts of real data sets, whose configs so need no download."""

from .kitti import KITTILayout, KITTIRawStereoLayout
from .layouts import MARKER, FolderLayout, Layout, NYULayout, render_layout

LAYOUTS = {
    'folder': FolderLayout,
    'nyu': NYULayout,
    'kitti': KITTILayout,
    'kitti-raw-stereo': KITTIRawStereoLayout,
}

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
