"""Estimators: complete models from images to depth."""

from .canonical_depth_estimator import CanonicalDepthEstimator
from .depth_estimator import DepthEstimator
from .depth_pro_estimator import DepthProEstimator
from .moge_estimator import MoGeEstimator
from .self_supervised_estimator import SelfSupervisedEstimator
from .test_time import blend_mirrored
from .zoedepth_estimator import ZoeDepthEstimator

__all__ = [
    'CanonicalDepthEstimator',
    'DepthEstimator',
    'DepthProEstimator',
    'MoGeEstimator',
    'SelfSupervisedEstimator',
    'ZoeDepthEstimator',
    'blend_mirrored',
]
