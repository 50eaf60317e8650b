"""Layers that several necks and heads share."""

from .bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from .deformable_attention import MultiScaleDeformableAttention
from .position_encoding import SinePositionEncoding

__all__ = [
    'MultiScaleDeformableAttention',
    'SinePositionEncoding',
    'bin_centers_from_edges',
    'bin_edges_from_widths',
    'depth_from_bins',
]
