"""Backbones: a wrapper for all timm models, and DepthFormer's two-branch encoder."""

from .depthformer_backbone import DepthFormerBackbone
from .timm_backbone import TimmBackbone

__all__ = ['DepthFormerBackbone', 'TimmBackbone']
