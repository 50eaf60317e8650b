"""Depth heads: feature maps to metric depth."""

from .adabins_head import AdaBinsHead
from .base_depth_head import BaseDepthHead
from .binsformer_head import BinsFormerHead
from .bts_head import BTSHead
from .densedepth_head import DenseDepthHead
from .dpt_head import DPTHead
from .newcrfs_head import NeWCRFsHead
from .query_depth_head import QueryDepthHead
from .regression_head import RegressionHead

__all__ = [
    'AdaBinsHead',
    'BTSHead',
    'BaseDepthHead',
    'BinsFormerHead',
    'DPTHead',
    'DenseDepthHead',
    'NeWCRFsHead',
    'QueryDepthHead',
    'RegressionHead',
]
