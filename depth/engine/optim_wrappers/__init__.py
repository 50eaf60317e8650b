"""Optimizer wrappers."""

from .amp import AmpOptimWrapper

__all__ = ['AmpOptimWrapper']
