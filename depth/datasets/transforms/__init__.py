"""Transforms of a sample: loading, geometry, colour, packing."""

from .color import ColorAug
from .color_jitter import ColorJitterPair
from .geometry import KBCrop, NYUCrop, RandomCrop, RandomFlip, RandomRotate, Resize
from .loading import LoadDepth, LoadImage
from .normals import LoadNormals
from .packing import PackDepthInputs
from .photometric import RandomBrightnessContrast, RandomGamma, RandomHueSaturationValue
from .spatial_keys import SPATIAL_KEYS, SpatialRule
from .stereo import (
    LoadDepthHint,
    LoadPair,
    LoadStereoDepth,
    NominalIntrinsics,
    PackStereoInputs,
    PairFromScene,
)
from .strip_mix import DepthStripMix
from .velodyne import LoadVelodyneDepth

__all__ = [
    'SPATIAL_KEYS',
    'ColorAug',
    'ColorJitterPair',
    'DepthStripMix',
    'KBCrop',
    'LoadDepth',
    'LoadDepthHint',
    'LoadImage',
    'LoadNormals',
    'LoadPair',
    'LoadStereoDepth',
    'LoadVelodyneDepth',
    'NYUCrop',
    'NominalIntrinsics',
    'PackDepthInputs',
    'PackStereoInputs',
    'PairFromScene',
    'RandomBrightnessContrast',
    'RandomCrop',
    'RandomFlip',
    'RandomGamma',
    'RandomHueSaturationValue',
    'RandomRotate',
    'Resize',
    'SpatialRule',
]
