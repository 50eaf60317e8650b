"""Visualisation and output files of depth: colour maps, panels, 16-bit PNG, point clouds."""

from .colormap import colorize_depth, colorize_error, draw_color_bar, overlay_depth
from .mesh import write_mesh
from .output_files import encode_depth_png, save_depth_png
from .panel import draw_panel
from .point_cloud import depth_to_points, write_ply

__all__ = [
    'colorize_depth',
    'colorize_error',
    'depth_to_points',
    'draw_color_bar',
    'draw_panel',
    'encode_depth_png',
    'overlay_depth',
    'save_depth_png',
    'write_mesh',
    'write_ply',
]
