"""Necks: a list of feature maps, finest first, to another one."""

from .hahi import HAHINeck

__all__ = ['HAHINeck']
