"""Backbones: wrappers for all timm models, and DepthFormer's two-branch encoder."""

from .depth_pro_encoder import DepthProEncoder
from .depthformer_backbone import DepthFormerBackbone
from .timm_backbone import TimmBackbone
from .vit_backbone import ViTBackbone

__all__ = ['DepthFormerBackbone', 'DepthProEncoder', 'TimmBackbone', 'ViTBackbone']
