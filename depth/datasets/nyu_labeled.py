"""The labelled part of NYU Depth v2 in its original file."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .nyu import NYUDataset
from .optional_imports import import_optional
from .published import Archive

SERVER = 'http://horatio.cs.nyu.edu/mit/silberman'
SPLIT_KEYS = dict(train='trainNdxs', test='testNdxs')


@DATASETS.register_module()
class NYULabeledDataset(BaseDepthDataset):
    """NYU Depth v2, the 1449 labelled frames as released: indoor, 480x640, depth in metres.

    ::

        data/nyu_labeled/
        ├── nyu_depth_v2_labeled.mat     2.8 GB; HDF5 with images, depths (holes filled), rawDepths, sceneTypes, scenes
        └── splits.mat                   official indices: trainNdxs (795), testNdxs (654)

    Args:
        split: ``train`` (795 frames) or ``test`` (654).
        raw_depth: Take the depth as measured, with holes, which benchmarks use, instead of the
            filled one.
        mat_file: Name of the first file.
        splits_file: Name of the second.
        **kwargs: See :class:`BaseDepthDataset`; ``ann_file`` is not used.

    Raises:
        FileNotFoundError: If a file is missing.
        ImportError: If h5py or SciPy is missing.
        ValueError: If the split is unknown or a file is not what it should be.

    Reference: Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012,
    https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html
    """

    METAINFO = dict(dataset_name='nyu', min_depth=1e-3, max_depth=10.0)
    TYPICAL_DEPTH = (1.9, 3.8)
    SELECTION = ('split', 'depth_key')
    DEPTH_READER = 'nyu_labeled'
    PREPARE_HINT = 'it should hold nyu_depth_v2_labeled.mat and splits.mat'

    LICENCE = NYUDataset.LICENCE
    PAGE = NYUDataset.PAGE
    SPLIT_COUNTS = dict(train=795, test=654)
    PREPARE_NAME = 'nyu_labeled'
    ROOT = 'data/nyu_labeled'
    CONFIGS = ('nyu_labeled.py',)
    ARCHIVES = (
        Archive(
            'nyu_depth_v2_labeled.mat',
            f'{SERVER}/nyu_depth_v2/nyu_depth_v2_labeled.mat',
            '2.8 GB',
            unpacked=False,
        ),
        Archive('splits.mat', f'{SERVER}/indoor_seg_sup/splits.mat', '3 kB', unpacked=False),
    )

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        raw_depth: bool = False,
        mat_file: str = 'nyu_depth_v2_labeled.mat',
        splits_file: str = 'splits.mat',
        **kwargs,
    ) -> None:
        if split not in SPLIT_KEYS:
            raise ValueError(f'NYULabeledDataset: split is train or test, got {split!r}')
        self.split = split
        self.depth_key = 'rawDepths' if raw_depth else 'depths'
        self.mat_file, self.splits_file = Path(data_root, mat_file), Path(data_root, splits_file)
        super().__init__(data_root=data_root, **kwargs)

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the frames of the split, in the order of the official list."""
        for path in (self.mat_file, self.splits_file):
            if not path.is_file():
                raise FileNotFoundError(
                    f'{type(self).__name__}: {path} does not exist; {self.PREPARE_HINT}'
                )
        numbers = _read_frame_numbers(self.splits_file, self.split)
        with _h5py().File(self.mat_file, 'r') as file:
            categories = _texts(file, 'sceneTypes')
        for number in numbers:
            index = number - 1
            sample = dict(
                # The file and, behind it, the frame: a name for results. The reader takes mat_path
                # and frame.
                img_path=f'{self.mat_file}/{index:05d}',
                depth_path=f'{self.mat_file}/{self.depth_key}/{index:05d}',
                mat_path=str(self.mat_file),
                frame=index,
                depth_key=self.depth_key,
                gt_filled=self.depth_key == 'depths',
                img_reader='nyu_labeled_image',
                cam_intrinsic=NYUDataset.CAM_INTRINSIC,
                scene=categories[index],
            )
            yield sample, f'{self.splits_file}, frame {number}'

    def _check_first(self, sample: dict) -> None:
        """The two files are there, see :meth:`find_samples`; frames are no files of their own."""


def recordings_of_test_frames(mat_file: str | Path, splits_file: str | Path) -> set[str]:
    """Return the recordings (``kitchen_0004``) that the official test frames are from."""
    numbers = _read_frame_numbers(splits_file, 'test')
    with _h5py().File(mat_file, 'r') as file:
        recordings = _texts(file, 'scenes')
    return {recordings[number - 1] for number in numbers}


def _read_frame_numbers(splits_file: str | Path, split: str) -> list[int]:
    """Return the numbers of a split's frames, counted from 1 as in MATLAB."""
    splits = import_optional('scipy.io', 'splits.mat of NYU').loadmat(splits_file)
    return splits[SPLIT_KEYS[split]].ravel().astype(int).tolist()


def _texts(file: dict, key: str) -> list[str]:
    """Return the strings of a MATLAB cell array."""
    texts = []
    # In HDF5 the cells are references to columns of character codes.
    for reference in file[key][()].ravel():
        codes = file[reference][()].ravel()
        texts.append(''.join(map(chr, codes)))
    return texts


@READERS.register_module(name='nyu_labeled_image')
def read_labeled_image(sample: dict) -> np.ndarray:
    """Return a frame's image, BGR uint8 (480, 640, 3); the file holds (3, 640, 480) RGB."""
    rgb = _open(sample['mat_path'], os.getpid())['images'][sample['frame']]
    return np.ascontiguousarray(rgb.transpose(2, 1, 0)[..., ::-1])


@READERS.register_module(name='nyu_labeled')
def read_labeled_depth(sample: dict) -> np.ndarray:
    """Return a frame's depth, float32 metres (480, 640); the file holds (640, 480)."""
    depth = _open(sample['mat_path'], os.getpid())[sample['depth_key']][sample['frame']]
    return np.ascontiguousarray(depth.T, np.float32)


@functools.lru_cache(maxsize=2)
def _open(path: str, process: int) -> Any:
    """Return the open file, one for each process: HDF5 handles must not be shared."""
    return _h5py().File(path, 'r')


def _h5py() -> ModuleType:
    return import_optional('h5py', 'nyu_depth_v2_labeled.mat')
