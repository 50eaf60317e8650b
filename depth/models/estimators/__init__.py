"""Estimators: image to depth."""

from .depth_estimator import DepthEstimator
from .mirror_blend import blend_mirrored
from .self_supervised_estimator import SelfSupervisedEstimator

__all__ = ['DepthEstimator', 'SelfSupervisedEstimator', 'blend_mirrored']
