"""Backbones: one wrapper over timm, and what timm lacks around it."""

from .timm_backbone import TimmBackbone

__all__ = ['TimmBackbone']
