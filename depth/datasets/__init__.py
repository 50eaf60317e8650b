"""Data sets, their transforms and samplers; importing this package registers them all."""

from . import transforms
from .base import BaseDepthDataset
from .cityscapes import CityscapesDataset
from .ddad import DDADDataset
from .diml import DIMLOutdoorDataset
from .diode import DIODEIndoorDataset, DIODEOutdoorDataset
from .folder import FolderDepthDataset
from .hypersim import HypersimDataset
from .ibims import IBimsDataset
from .kitti import KITTIDataset
from .kitti_benchmark import KITTIBenchmarkDataset
from .kitti_completion import KITTICompletionDataset
from .kitti_raw import KITTIRawDataset
from .mixed import MixedDepthDataset
from .nyu import NYUDataset
from .nyu_labeled import NYULabeledDataset
from .pseudo_labels import PseudoLabelDataset
from .samplers import AlternatingSetSampler, ResumableInfiniteSampler, SampleIndex
from .shard_dataset import ShardDataset
from .shard_sampler import ShardSampler
from .stereo_folder import StereoFolderDataset
from .sunrgbd import SUNRGBDDataset
from .synthetic import SyntheticDataset
from .vkitti2 import VirtualKITTI2Dataset

__all__ = [
    'AlternatingSetSampler',
    'BaseDepthDataset',
    'CityscapesDataset',
    'DDADDataset',
    'DIMLOutdoorDataset',
    'DIODEIndoorDataset',
    'DIODEOutdoorDataset',
    'FolderDepthDataset',
    'HypersimDataset',
    'IBimsDataset',
    'KITTIBenchmarkDataset',
    'KITTICompletionDataset',
    'KITTIDataset',
    'KITTIRawDataset',
    'MixedDepthDataset',
    'NYUDataset',
    'NYULabeledDataset',
    'PseudoLabelDataset',
    'ResumableInfiniteSampler',
    'SUNRGBDDataset',
    'SampleIndex',
    'ShardDataset',
    'ShardSampler',
    'StereoFolderDataset',
    'SyntheticDataset',
    'VirtualKITTI2Dataset',
    'transforms',
]
