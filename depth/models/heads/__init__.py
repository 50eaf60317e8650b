"""Depth heads: feature maps to metric depth."""

from .base_depth_head import BaseDepthHead
from .densedepth_head import DenseDepthHead
from .monodepth_head import MonodepthHead
from .sigmoid_depth_head import SigmoidDepthHead, reflect_conv

__all__ = ['BaseDepthHead', 'DenseDepthHead', 'MonodepthHead', 'SigmoidDepthHead', 'reflect_conv']
from .dpt_head import DPTHead
from .newcrfs_head import NeWCRFsHead
from .regression_head import RegressionHead

__all__ = ['BaseDepthHead', 'DPTHead', 'DenseDepthHead', 'NeWCRFsHead', 'RegressionHead']
