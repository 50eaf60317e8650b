"""Depth heads, from feature maps to depth, metric unless they say otherwise."""

from .adabins_head import AdaBinsHead
from .base_depth_head import BaseDepthHead
from .bins_maskformer_head import BinsMaskFormerHead
from .binsformer_head import BinsFormerHead
from .bts_head import BTSHead
from .densedepth_head import DenseDepthHead
from .depth_anything3_head import DepthAnything3Head, DepthAnything3MetricHead
from .depth_anything_head import DepthAnythingMetricHead, DepthAnythingRelativeHead
from .depth_pro_head import DepthProHead
from .dpt_head import DPTHead
from .light_depth_head import LightDepthHead
from .log_depth_head import LogDepthHead
from .metric3d_head import Metric3DHead
from .metric3d_v1_head import Metric3DV1Head
from .moge_head import MoGeHead
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
    'DepthAnything3Head',
    'DepthAnything3MetricHead',
    'DepthAnythingMetricHead',
    'DepthAnythingRelativeHead',
    'DepthProHead',
    'LightDepthHead',
    'LogDepthHead',
    'Metric3DHead',
    'Metric3DV1Head',
    'MoGeHead',
    'MonodepthHead',
    'NeWCRFsHead',
    'QueryDepthHead',
    'RegressionHead',
    'SigmoidDepthHead',
    'ZoeDepthDomainsHead',
    'ZoeDepthHead',
    'reflect_conv',
]
