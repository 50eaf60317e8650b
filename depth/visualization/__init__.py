"""Pictures and output files of depth: colour maps, panels, 16-bit PNG, point clouds, meshes."""

from .color_scale import COLOR_MAPS, ColorScale, draw_legend, fit_scale
from .colormap import colorize_depth, colorize_error, draw_color_bar, overlay_depth
from .mesh import write_mesh
from .output_files import encode_depth_png, save_depth_png
from .panel import draw_color_map, draw_panel
from .point_cloud import CloudOptions, depth_to_points, write_glb, write_ply

__all__ = [
    'COLOR_MAPS',
    'CloudOptions',
    'ColorScale',
    'colorize_depth',
    'colorize_error',
    'depth_to_points',
    'draw_color_bar',
    'draw_color_map',
    'draw_legend',
    'draw_panel',
    'encode_depth_png',
    'fit_scale',
    'overlay_depth',
    'save_depth_png',
    'write_glb',
    'write_mesh',
    'write_ply',
]
