"""Transforms of a sample: loading, geometry, colour, packing."""

from .color import ColorAug
from .geometry import KBCrop, NYUCrop, RandomCrop, RandomFlip, RandomRotate, Resize
from .loading import LoadDepth, LoadImage
from .packing import PackDepthInputs
from .photometric import RandomBrightnessContrast, RandomGamma, RandomHueSaturationValue

__all__ = [
    'ColorAug',
    'KBCrop',
    'LoadDepth',
    'LoadImage',
    'NYUCrop',
    'PackDepthInputs',
    'RandomBrightnessContrast',
    'RandomCrop',
    'RandomFlip',
    'RandomGamma',
    'RandomHueSaturationValue',
    'RandomRotate',
    'Resize',
]
