"""Layers that several necks and heads share."""

from .bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from .deformable_attention import MultiScaleDeformableAttention
from .position_encoding import SinePositionEncoding
from .surface_normals import back_project, normals_from_depth

__all__ = [
    'MultiScaleDeformableAttention',
    'SinePositionEncoding',
    'back_project',
    'bin_centers_from_edges',
    'bin_edges_from_widths',
    'depth_from_bins',
    'normals_from_depth',
]
