"""Estimators: image to depth."""

from .depth_estimator import DepthEstimator

__all__ = ['DepthEstimator']
