"""Transforms of a sample: loading, geometry, colour, packing."""

from .color import ColorAug
from .geometry import KBCrop, NYUCrop, RandomCrop, RandomFlip, RandomRotate, Resize
from .loading import LoadDepth, LoadImage
from .normals import LoadNormals
from .packing import PackDepthInputs
from .photometric import RandomBrightnessContrast, RandomGamma, RandomHueSaturationValue
from .strip_mix import DepthStripMix

__all__ = [
    'ColorAug',
    'DepthStripMix',
    'KBCrop',
    'LoadDepth',
    'LoadImage',
    'LoadNormals',
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
