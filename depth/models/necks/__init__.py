"""Necks: a list of feature maps, finest first, to another one."""

from .hahi import HAHINeck
from .pyramid_pooling import PyramidPoolingNeck

__all__ = ['HAHINeck', 'PyramidPoolingNeck']
