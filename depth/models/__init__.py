"""Estimators, backbones, necks, heads and losses; importing this package registers them all."""

from . import backbones, estimators, heads, losses, necks
from .data_preprocessor import DepthDataPreprocessor

__all__ = ['DepthDataPreprocessor', 'backbones', 'estimators', 'heads', 'losses', 'necks']
