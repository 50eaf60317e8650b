"""Transforms of a sample: loading, geometry, colour, packing."""

from .color import ColorAug
from .color_jitter import ColorJitterPair
from .geometry import KBCrop, NYUCrop, RandomCrop, RandomFlip, RandomRotate, Resize
from .loading import LoadDepth, LoadImage
from .packing import PackDepthInputs
from .photometric import RandomBrightnessContrast, RandomGamma, RandomHueSaturationValue
from .stereo import (
    CropPair,
    LoadDepthHint,
    LoadPair,
    LoadStereoDepth,
    NominalIntrinsics,
    PackStereoInputs,
    PairFromScene,
    RandomFlipPair,
    ResizePair,
)
from .velodyne import LoadVelodyneDepth

__all__ = [
    'ColorAug',
    'ColorJitterPair',
    'CropPair',
    'KBCrop',
    'LoadDepth',
    'LoadDepthHint',
    'LoadImage',
    'LoadPair',
    'LoadStereoDepth',
    'LoadVelodyneDepth',
    'NYUCrop',
    'NominalIntrinsics',
    'PackDepthInputs',
    'RandomBrightnessContrast',
    'RandomCrop',
    'RandomFlip',
    'RandomGamma',
    'RandomHueSaturationValue',
    'PackStereoInputs',
    'PairFromScene',
    'RandomCrop',
    'RandomFlip',
    'RandomFlipPair',
    'RandomRotate',
    'Resize',
    'ResizePair',
]
