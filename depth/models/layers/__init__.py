"""Layers that several necks and heads share."""

from .bins import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins
from .deformable_attention import MultiScaleDeformableAttention
from .deformable_encoder import DeformableEncoder
from .densedepth import DenseDepthDecoder, UpSample
from .masked_decoder import MaskedQueryDecoder, QueryState
from .mini_vit import MiniViT, PatchTransformer
from .pixel_decoder import DeformablePixelDecoder
from .position_encoding import SinePositionEncoding
from .surface_normals import back_project, normals_from_depth
from .tokens import flatten_levels, pixel_centers, split_levels
from .transformer import MLP, FeedForward, QueryDecoderLayer

__all__ = [
    'MLP',
    'DeformableEncoder',
    'DeformablePixelDecoder',
    'DenseDepthDecoder',
    'FeedForward',
    'MaskedQueryDecoder',
    'MiniViT',
    'MultiScaleDeformableAttention',
    'PatchTransformer',
    'QueryDecoderLayer',
    'QueryState',
    'SinePositionEncoding',
    'UpSample',
    'back_project',
    'bin_centers_from_edges',
    'bin_edges_from_widths',
    'depth_from_bins',
    'flatten_levels',
    'normals_from_depth',
    'pixel_centers',
    'split_levels',
]
