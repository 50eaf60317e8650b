"""Registered classes of EPCDepth; ``custom_imports`` of the configs imports this module."""

from .depth_hints import ComputeDepthHint
from .disparities import DisparityWriterHook
from .epcdepth import EPCDepth
from .epcdepth_loss import EPCDepthLoss
from .full_scale_head import FullScaleHead
from .nyu_h5 import LoadNYUH5, NYUH5Dataset

__all__ = [
    'ComputeDepthHint',
    'DisparityWriterHook',
    'EPCDepth',
    'EPCDepthLoss',
    'FullScaleHead',
    'LoadNYUH5',
    'NYUH5Dataset',
]
