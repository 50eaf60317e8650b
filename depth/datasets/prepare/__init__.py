"""From a data set's official archives to the folders its class reads."""

from .base import Archive, Options, Preparer
from .indoor import DIODEPreparer, HypersimPreparer, IBimsPreparer, SUNRGBDPreparer
from .kitti import KITTIBenchmarkPreparer, KITTIEigenPreparer
from .kitti_raw import KITTIRawPreparer
from .nyu import NYULabeledPreparer, NYUPreparer
from .outdoor import CityscapesPreparer, DDADPreparer, DIMLPreparer, VirtualKITTI2Preparer

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
