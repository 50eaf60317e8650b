"""Depth heads: feature maps to metric depth."""

from .base_depth_head import BaseDepthHead
from .densedepth_head import DenseDepthHead
from .dpt_head import DPTHead
from .newcrfs_head import NeWCRFsHead
from .regression_head import RegressionHead

__all__ = ['BaseDepthHead', 'DPTHead', 'DenseDepthHead', 'NeWCRFsHead', 'RegressionHead']
