"""Layers that several necks and heads share."""

from .bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from .deformable_attention import (
    DeformableEncoder,
    MultiScaleDeformableAttention,
    flatten_levels,
    pixel_centers,
    split_levels,
)
from .densedepth import DenseDepthDecoder, UpSample
from .dpt_decoder import (
    DPTFusion,
    DPTFusionBlock,
    DPTPyramid,
    DPTResidualUnit,
    resize_corners,
)
from .mask2former import DeformablePixelDecoder, MaskedQueryDecoder, QueryState
from .position_encoding import SinePositionEncoding
from .precision import without_autocast
from .prompt_fusion import DepthPrompt, PromptFusion, build_prompt
from .resize import cut_patch_padding, resize_map
from .sparse_points import append_points, fill_points, has_points, stack_sparse_depth
from .surface_normals import back_project, normals_from_depth, normals_from_planes
from .transformer import MLP, FeedForward, QueryDecoderLayer
from .view_synthesis import project_points, sample_pixels, synthesize_view, transform_points

__all__ = [
    'MLP',
    'DPTFusion',
    'DPTFusionBlock',
    'DPTPyramid',
    'DPTResidualUnit',
    'DeformableEncoder',
    'DeformablePixelDecoder',
    'DenseDepthDecoder',
    'DepthPrompt',
    'FeedForward',
    'MaskedQueryDecoder',
    'MultiScaleDeformableAttention',
    'PromptFusion',
    'QueryDecoderLayer',
    'QueryState',
    'SinePositionEncoding',
    'UpSample',
    'append_points',
    'back_project',
    'bin_centers_from_edges',
    'bin_edges_from_widths',
    'build_prompt',
    'cut_patch_padding',
    'depth_from_bins',
    'fill_points',
    'flatten_levels',
    'has_points',
    'normals_from_depth',
    'normals_from_planes',
    'pixel_centers',
    'project_points',
    'resize_corners',
    'resize_map',
    'sample_pixels',
    'split_levels',
    'stack_sparse_depth',
    'synthesize_view',
    'transform_points',
    'without_autocast',
]
