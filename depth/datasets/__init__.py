"""Data sets, their transforms and samplers; importing this package registers them all."""

from . import transforms
from .base import BaseDepthDataset
from .folder import FolderDepthDataset
from .kitti import KITTIDataset
from .kitti_raw import KITTIRawDataset
from .nyu import NYUDataset
from .samplers import ResumableInfiniteSampler, SampleIndex
from .stereo_folder import StereoFolderDataset
from .synthetic import SyntheticDataset

__all__ = [
    'BaseDepthDataset',
    'FolderDepthDataset',
    'KITTIDataset',
    'KITTIRawDataset',
    'NYUDataset',
    'ResumableInfiniteSampler',
    'SampleIndex',
    'StereoFolderDataset',
    'SyntheticDataset',
    'transforms',
]
