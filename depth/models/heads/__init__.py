"""Depth heads, from feature maps to metric depth."""

from .adabins_head import AdaBinsHead
from .base_depth_head import BaseDepthHead
from .bins_maskformer_head import BinsMaskFormerHead
from .binsformer_head import BinsFormerHead
from .bts_head import BTSHead
from .densedepth_head import DenseDepthHead
from .dpt_head import DPTHead
from .monodepth_head import MonodepthHead
from .newcrfs_head import NeWCRFsHead
from .query_depth_head import QueryDepthHead
from .regression_head import RegressionHead
from .sigmoid_depth_head import SigmoidDepthHead, reflect_conv
from .zoedepth_head import ZoeDepthDomainsHead, ZoeDepthHead

__all__ = [
    'AdaBinsHead',
    'BTSHead',
    'BaseDepthHead',
    'BinsFormerHead',
    'BinsMaskFormerHead',
    'DPTHead',
    'DenseDepthHead',
    'MonodepthHead',
    'NeWCRFsHead',
    'QueryDepthHead',
    'RegressionHead',
    'SigmoidDepthHead',
    'ZoeDepthDomainsHead',
    'ZoeDepthHead',
    'reflect_conv',
]
