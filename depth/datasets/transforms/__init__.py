"""Transforms of a sample: loading, geometry, colour, packing."""

from .color import (
    ColorAug,
    ColorJitterPair,
    DepthStripMix,
    RandomBrightnessContrast,
    RandomGamma,
    RandomHueSaturationValue,
)
from .geometry import (
    FitToCanvas,
    KBCrop,
    NYUCrop,
    RandomCrop,
    RandomFlip,
    RandomRotate,
    RandomScale,
    Resize,
)
from .label_types import MakeLabelsRelative
from .loading import LoadDepth, LoadImage, LoadVelodyneDepth
from .network_size import ResizeShortSide, ResizeThenSnap
from .normals import LoadNormals
from .packing import PackDepthInputs
from .sky import LoadSky
from .spatial_keys import SPATIAL_KEYS, SpatialRule
from .stereo import (
    LoadDepthHint,
    LoadPair,
    LoadStereoDepth,
    NominalIntrinsics,
    PackStereoInputs,
    PairFromScene,
)

__all__ = [
    'SPATIAL_KEYS',
    'ColorAug',
    'ColorJitterPair',
    'DepthStripMix',
    'FitToCanvas',
    'KBCrop',
    'LoadDepth',
    'LoadDepthHint',
    'LoadImage',
    'LoadNormals',
    'LoadPair',
    'LoadSky',
    'LoadStereoDepth',
    'LoadVelodyneDepth',
    'MakeLabelsRelative',
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
    'RandomScale',
    'Resize',
    'ResizeShortSide',
    'ResizeThenSnap',
    'SpatialRule',
]
