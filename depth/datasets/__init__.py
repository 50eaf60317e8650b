"""Data sets, their transforms and samplers; importing this package registers them all."""

from . import transforms
from .base import BaseDepthDataset
from .folder import FolderDepthDataset
from .kitti import KITTIDataset
from .nyu import NYUDataset
from .samplers import ResumableInfiniteSampler, SampleIndex
from .synthetic import SyntheticDataset

__all__ = [
    'BaseDepthDataset',
    'FolderDepthDataset',
    'KITTIDataset',
    'NYUDataset',
    'ResumableInfiniteSampler',
    'SampleIndex',
    'SyntheticDataset',
    'transforms',
]
