"""Transforms of a sample: loading, geometry, colour, packing."""

from .color import ColorAug
from .geometry import KBCrop, NYUCrop, RandomCrop, RandomFlip, RandomRotate, Resize
from .loading import LoadDepth, LoadImage
from .packing import PackDepthInputs

__all__ = [
    'ColorAug',
    'KBCrop',
    'LoadDepth',
    'LoadImage',
    'NYUCrop',
    'PackDepthInputs',
    'RandomCrop',
    'RandomFlip',
    'RandomRotate',
    'Resize',
]
