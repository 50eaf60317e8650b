"""Layers that several necks and heads share."""

from .bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from .deformable_attention import MultiScaleDeformableAttention
from .deformable_encoder import DeformableEncoder
from .densedepth import DenseDepthDecoder, UpSample
from .fpn_pixel_decoder import FPNPixelDecoder
from .inverse_depth import (
    depth_to_disparity,
    disparity_to_depth,
    inverse_depth_to_sigmoid,
    sigmoid_to_inverse_depth,
)
from .masked_decoder import MaskedQueryDecoder, QueryState
from .pixel_decoder import DeformablePixelDecoder
from .position_encoding import SinePositionEncoding
from .precision import without_autocast
from .resize import resize_map
from .surface_normals import back_project, normals_from_depth, normals_from_planes
from .tokens import flatten_levels, pixel_centers, split_levels
from .transformer import MLP, FeedForward, QueryDecoderLayer
from .view_synthesis import project_points, sample_pixels, synthesize_view, transform_points

__all__ = [
    'MLP',
    'DeformableEncoder',
    'DeformablePixelDecoder',
    'DenseDepthDecoder',
    'FPNPixelDecoder',
    'FeedForward',
    'MaskedQueryDecoder',
    'MultiScaleDeformableAttention',
    'QueryDecoderLayer',
    'QueryState',
    'SinePositionEncoding',
    'UpSample',
    'back_project',
    'bin_centers_from_edges',
    'bin_edges_from_widths',
    'depth_from_bins',
    'depth_to_disparity',
    'disparity_to_depth',
    'flatten_levels',
    'inverse_depth_to_sigmoid',
    'normals_from_depth',
    'normals_from_planes',
    'pixel_centers',
    'project_points',
    'resize_map',
    'sample_pixels',
    'sigmoid_to_inverse_depth',
    'split_levels',
    'synthesize_view',
    'transform_points',
    'without_autocast',
]
