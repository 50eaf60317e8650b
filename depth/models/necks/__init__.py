"""Necks, from a list of feature maps (finest first) to another one."""

from .depth_gradient_refinement import DepthGradientRefinement
from .hahi import HAHINeck
from .pyramid_pooling import PyramidPoolingNeck

__all__ = ['DepthGradientRefinement', 'HAHINeck', 'PyramidPoolingNeck']
