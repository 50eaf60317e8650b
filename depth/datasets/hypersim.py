"""Hypersim."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .cameras import distance_to_depth, pinhole
from .optional_imports import import_optional
from .text_files import read_text
from .transforms.loading import without_invalid

# Pixels; scenes with a tilted lens deviate from it.
CAM_INTRINSIC = pinhole(886.81, 886.81, 511.5, 383.5)
# Of the published split file.
COLUMNS = ('scene_name', 'camera_name', 'frame_id')
COLUMNS += ('included_in_public_release', 'split_partition_name')


@READERS.register_module(name='hypersim')
def read_hypersim_depth(sample: dict) -> np.ndarray:
    """Return depth along the axis, float32 metres (H, W), from the stored distance along the ray.

    NaN, where a ray meets nothing, becomes 0.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such HDF5 file.
        ImportError: If h5py is missing.
    """
    path = sample['depth_path']
    if not Path(path).is_file():
        raise FileNotFoundError(f'depth map {path} does not exist')
    try:
        with import_optional('h5py', 'Hypersim').File(path, 'r') as file:
            distance = file['dataset'][()].astype(np.float32)
    except (OSError, KeyError, AttributeError) as error:
        raise ValueError(
            f'depth map {path} cannot be read as HDF5 with the key "dataset": {error}'
        ) from error
    return without_invalid(distance_to_depth(distance, CAM_INTRINSIC))


@DATASETS.register_module()
class HypersimDataset(BaseDepthDataset):
    """Hypersim: rendered indoor scenes, 768x1024; distance along the ray in metres as float16 HDF5.

    ::

        data/hypersim/
        ├── metadata_images_split_scene_v1.csv     the published split: train 59543, val 7386, test 7690 images
        └── ai_VVV_NNN/images/
            ├── scene_cam_XX_final_preview/frame.NNNN.tonemap.jpg
            └── scene_cam_XX_geometry_hdf5/frame.NNNN.depth_meters.hdf5

    Depth along the axis is ``distance * f / sqrt((u - 511.5)^2 + (v - 383.5)^2 + f^2)``, f = 886.81
    pixels, for every scene, as published evaluations have it.

    Args:
        split: ``train``, ``val`` or ``test``.
        **kwargs: See :class:`BaseDepthDataset`.

    Raises:
        FileNotFoundError: If the root or the split's CSV file is missing.
        ValueError: If the CSV file lacks a column, or nothing is left.

    Reference: Hypersim: A Photorealistic Synthetic Dataset for Holistic Indoor Scene Understanding,
    https://arxiv.org/abs/2011.02523
    """

    METAINFO = dict(dataset_name='hypersim', min_depth=1e-3, max_depth=80.0)
    SELECTION = ('split',)
    DEPTH_READER = 'hypersim'
    PREPARE_HINT = 'it should hold the ai_*/ folders and metadata_images_split_scene_v1.csv'

    LICENCE = 'CC BY-SA 3.0'
    PAGE = 'https://github.com/apple/ml-hypersim'
    SPLIT_COUNTS = dict(train=59543, val=7386, test=7690)
    SCENE_OF = r'ai_\d{3}_\d{3}'
    PREPARE_NAME = 'hypersim'
    ROOT = 'data/hypersim'
    CONFIGS = ('hypersim.py',)
    ARCHIVE_MEMBERS = (
        r'^(ai_\d{3}_\d{3}/images/scene_cam_\d\d_(?:'
        r'final_preview/frame\.\d{4}\.tonemap\.jpg|'
        r'geometry_hdf5/frame\.\d{4}\.depth_meters\.hdf5))$'
    )
    CONTENTS = {'ai_*/images/*/*.tonemap.jpg': 'images'}

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        ann_file: str = 'metadata_images_split_scene_v1.csv',
        **kwargs,
    ) -> None:
        self.split = split
        super().__init__(data_root=data_root, ann_file=ann_file, **kwargs)

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the released images of the split, in the file's order."""
        path = Path(self.ann_file)
        if not path.is_file():
            raise FileNotFoundError(
                f'{type(self).__name__}: {path} does not exist; {self.PREPARE_HINT}'
            )
        rows = csv.DictReader(io.StringIO(read_text(path, 'split file'), newline=''))
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(
                f'{path} has no column {missing[0]!r}, the published one has {", ".join(COLUMNS)}'
            )
        for row in rows:
            # Images with people or prominent logos are listed but not released.
            is_released = row['included_in_public_release'] == 'True'
            if is_released and row['split_partition_name'] == self.split:
                yield self._sample(row), f'{path}, line {rows.line_num}'

    def _sample(self, row: dict[str, str]) -> dict:
        images = Path(self.data_root, row['scene_name'], 'images')
        folder, frame = f'scene_{row["camera_name"]}', f'frame.{int(row["frame_id"]):04d}'
        return dict(
            img_path=str(images / f'{folder}_final_preview' / f'{frame}.tonemap.jpg'),
            depth_path=str(images / f'{folder}_geometry_hdf5' / f'{frame}.depth_meters.hdf5'),
            cam_intrinsic=CAM_INTRINSIC,
        )
