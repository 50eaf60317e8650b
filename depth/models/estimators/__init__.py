"""Estimators: complete models from images to depth."""

from .canonical_depth_estimator import CanonicalDepthEstimator
from .depth_estimator import DepthEstimator
from .self_supervised_estimator import SelfSupervisedEstimator
from .test_time import blend_mirrored
from .zoedepth_estimator import ZoeDepthEstimator

__all__ = [
    'CanonicalDepthEstimator',
    'DepthEstimator',
    'SelfSupervisedEstimator',
    'ZoeDepthEstimator',
    'blend_mirrored',
]
