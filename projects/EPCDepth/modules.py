"""Everything of EPCDepth that configs name; ``custom_imports`` imports this module."""

from .depth_hints import ComputeDepthHint
from .epcdepth import EPCDepth
from .epcdepth_loss import EPCDepthLoss
from .full_scale_head import FullScaleHead

__all__ = ['ComputeDepthHint', 'EPCDepth', 'EPCDepthLoss', 'FullScaleHead']
