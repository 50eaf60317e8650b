"""Backbones: one wrapper over timm, and what timm lacks around it."""

from .depthformer_backbone import DepthFormerBackbone
from .timm_backbone import TimmBackbone

__all__ = ['DepthFormerBackbone', 'TimmBackbone']
