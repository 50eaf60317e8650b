"""Depth heads: feature maps to metric depth."""

from .base_depth_head import BaseDepthHead
from .bins_maskformer_head import BinsMaskFormerHead
from .binsformer_head import BinsFormerHead
from .densedepth_head import DenseDepthHead
from .dpt_head import DPTHead
from .newcrfs_head import NeWCRFsHead
from .query_depth_head import QueryDepthHead
from .regression_head import RegressionHead

__all__ = [
    'BaseDepthHead',
    'BinsFormerHead',
    'BinsMaskFormerHead',
    'DPTHead',
    'DenseDepthHead',
    'NeWCRFsHead',
    'QueryDepthHead',
    'RegressionHead',
]
