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
    CenterCrop,
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
from .network_size import ResizeShortSide, ResizeThenSnap, ResizeToFocal
from .normals import LoadNormals
from .packing import PackDepthInputs
from .sky import LoadSky
from .sparse_depth import LoadSparseDepth
from .sparse_patterns import (
    ChoosePattern,
    FeatureTracks,
    LidarLines,
    LowResolutionToF,
    RandomPoints,
)
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
    'CenterCrop',
    'ChoosePattern',
    'ColorAug',
    'ColorJitterPair',
    'DepthStripMix',
    'FeatureTracks',
    'FitToCanvas',
    'KBCrop',
    'LidarLines',
    'LoadDepth',
    'LoadDepthHint',
    'LoadImage',
    'LoadNormals',
    'LoadPair',
    'LoadSky',
    'LoadSparseDepth',
    'LoadStereoDepth',
    'LoadVelodyneDepth',
    'LowResolutionToF',
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
    'RandomPoints',
    'RandomRotate',
    'RandomScale',
    'Resize',
    'ResizeShortSide',
    'ResizeThenSnap',
    'ResizeToFocal',
    'SpatialRule',
]
