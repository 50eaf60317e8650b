"""Layers that several necks and heads share."""

from .deformable_attention import MultiScaleDeformableAttention
from .position_encoding import SinePositionEncoding

__all__ = ['MultiScaleDeformableAttention', 'SinePositionEncoding']
