"""Optimizer wrappers."""

from .amp import AmpOptimWrapper
from .plain import OptimWrapper

__all__ = ['AmpOptimWrapper', 'OptimWrapper']
