"""Data sets, their transforms and samplers; importing this package registers them all."""

from . import transforms
from .base import BaseDepthDataset
from .folder import FolderDepthDataset
from .kitti import KITTIDataset
from .kitti_benchmark import KITTIBenchmarkDataset
from .nyu import NYUDataset
from .samplers import ResumableInfiniteSampler, SampleIndex
from .sunrgbd import SUNRGBDDataset
from .synthetic import SyntheticDataset

__all__ = [
    'BaseDepthDataset',
    'FolderDepthDataset',
    'KITTIBenchmarkDataset',
    'KITTIDataset',
    'NYUDataset',
    'ResumableInfiniteSampler',
    'SUNRGBDDataset',
    'SampleIndex',
    'SyntheticDataset',
    'transforms',
]
