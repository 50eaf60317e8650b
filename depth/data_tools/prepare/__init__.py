"""From a data set's official archives to the folders its class reads."""

from .base import Archive, Options, Preparer
from .cityscapes import CityscapesPreparer
from .ddad import DDADPreparer
from .diml import DIMLPreparer
from .diode import DIODEPreparer
from .hypersim import HypersimPreparer
from .ibims import IBimsPreparer
from .kitti import KITTIBenchmarkPreparer, KITTIEigenPreparer
from .kitti_raw import KITTIRawPreparer
from .nyu import NYULabeledPreparer, NYUPreparer
from .sunrgbd import SUNRGBDPreparer
from .vkitti2 import VirtualKITTI2Preparer

PREPARERS: dict[str, type[Preparer]] = {
    'nyu': NYUPreparer,
    'nyu_labeled': NYULabeledPreparer,
    'kitti_eigen': KITTIEigenPreparer,
    'kitti_benchmark': KITTIBenchmarkPreparer,
    'kitti_raw': KITTIRawPreparer,
    'sunrgbd': SUNRGBDPreparer,
    'cityscapes': CityscapesPreparer,
    'ibims': IBimsPreparer,
    'diode': DIODEPreparer,
    'hypersim': HypersimPreparer,
    'vkitti2': VirtualKITTI2Preparer,
    'ddad': DDADPreparer,
    'diml': DIMLPreparer,
}

__all__ = ['PREPARERS', 'Archive', 'Options', 'Preparer']
