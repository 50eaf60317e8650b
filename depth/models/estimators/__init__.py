"""Estimators: complete models from images to depth."""

from .canonical_depth_estimator import CanonicalDepthEstimator
from .depth_estimator import DepthEstimator
from .self_supervised_estimator import SelfSupervisedEstimator
from .test_time import blend_mirrored

__all__ = ['CanonicalDepthEstimator', 'DepthEstimator', 'SelfSupervisedEstimator', 'blend_mirrored']
