"""Depth heads: feature maps to metric depth."""

from .base_depth_head import BaseDepthHead
from .densedepth_head import DenseDepthHead
from .dpt_head import DPTHead
from .monodepth_head import MonodepthHead
from .newcrfs_head import NeWCRFsHead
from .regression_head import RegressionHead
from .sigmoid_depth_head import SigmoidDepthHead, reflect_conv

__all__ = [
    'BaseDepthHead',
    'DPTHead',
    'DenseDepthHead',
    'MonodepthHead',
    'NeWCRFsHead',
    'RegressionHead',
    'SigmoidDepthHead',
    'reflect_conv',
]
