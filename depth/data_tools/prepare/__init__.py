"""Preparation of data sets: from their official archives to the folders that their classes read."""

from depth.datasets.base import BaseDepthDataset
from depth.datasets.published import Archive

from ..facts import list_datasets
from .archives import HypersimPreparer, IBimsPreparer
from .base import Options, Preparer
from .kitti import (
    KITTIBenchmarkPreparer,
    KITTICompletionPreparer,
    KITTIEigenPreparer,
    KITTIRawPreparer,
)
from .nyu import NYULabeledPreparer, NYUPreparer

# Data sets that need code of their own; the facts of its class are enough for any other.
PREPARERS: dict[str, type[Preparer]] = {
    'nyu': NYUPreparer,
    'nyu_labeled': NYULabeledPreparer,
    'kitti_eigen': KITTIEigenPreparer,
    'kitti_benchmark': KITTIBenchmarkPreparer,
    'kitti_completion': KITTICompletionPreparer,
    'kitti_raw': KITTIRawPreparer,
    'ibims': IBimsPreparer,
    'hypersim': HypersimPreparer,
}


def preparable_datasets() -> dict[str, type[BaseDepthDataset]]:
    """Return the registered data sets that can be prepared, by their names on the command line."""
    classes: dict[str, type[BaseDepthDataset]] = {}
    for dataset in list_datasets():
        # Both DIODE classes read one folder; the first stands for it.
        if dataset.PREPARE_NAME:
            classes.setdefault(dataset.PREPARE_NAME, dataset)
    return classes


def build_preparer(name: str, options: Options, **callbacks) -> Preparer:
    """Return the preparer of a data set.

    Args:
        name: One of :func:`preparable_datasets`.
        options: See :class:`Options`.
        **callbacks: ``say``, ``ask`` and ``progress`` of :class:`Preparer`.

    Raises:
        ValueError: If the name or a part is unknown.
    """
    datasets = preparable_datasets()
    if name not in datasets:
        raise ValueError(f'NAME: there is no data set {name!r}; there are {", ".join(datasets)}')
    return PREPARERS.get(name, Preparer)(datasets[name], options, **callbacks)


__all__ = [
    'PREPARERS',
    'Archive',
    'Options',
    'Preparer',
    'build_preparer',
    'preparable_datasets',
]
