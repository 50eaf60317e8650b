"""Cityscapes."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .cameras import pinhole
from .published import Archive
from .transforms.loading import read_uint16

SPLITS = ('train', 'val', 'test', 'train_extra')
DAMAGED = 'troisdorf_000000_000073'  # a black image in the published train_extra archive


@READERS.register_module(name='cityscapes')
def read_cityscapes_depth(sample: dict) -> np.ndarray:
    """Turn a stored disparity into depth, float32 metres (H, W).

    A stored p > 0 is a disparity of (p - 1) / 256 pixels; depth is baseline * fx / disparity. 0,
    and a disparity of 0, are no ground truth.

    Raises:
        ValueError: If the file is no 16-bit image.
    """
    stored = read_uint16(sample['depth_path'])
    # p = 256 d + 1, because 0 is kept for pixels without a match.
    disparity = (stored.astype(np.float32) - 1) / np.float32(256)
    has_disparity = disparity > 0
    depth = np.zeros_like(disparity)
    np.divide(np.float32(sample['baseline_fx']), disparity, out=depth, where=has_disparity)
    return depth


@DATASETS.register_module()
class CityscapesDataset(BaseDepthDataset):
    """Cityscapes: outdoor, 1024x2048; depth from the published stereo disparities.

    ::

        data/cityscapes/
        ├── leftImg8bit/SPLIT/CITY/X_leftImg8bit.png
        ├── disparity/SPLIT/CITY/X_disparity.png      16 bit, see :func:`read_cityscapes_depth`
        └── camera/SPLIT/CITY/X_camera.json

    The folders are the split: train 2975 images, val 500, train_extra 19998 (one of them damaged,
        left out: 19997).
    Depth is at the disparity's own size and is never interpolated.

    Args:
        split: ``train``, ``val``, ``test`` or ``train_extra``.
        **kwargs: See :class:`BaseDepthDataset`; ``ann_file`` is not used.

    Raises:
        FileNotFoundError: If the folder of the split is missing.
        ValueError: If the split is unknown or empty.

    Reference: The Cityscapes Dataset for Semantic Urban Scene Understanding,
    https://arxiv.org/abs/1604.01685, https://www.cityscapes-dataset.com
    """

    METAINFO = dict(dataset_name='cityscapes', min_depth=1e-3, max_depth=200.0)
    SELECTION = ('split',)
    DEPTH_READER = 'cityscapes'
    PREPARE_HINT = (
        'it should hold leftImg8bit/, disparity/ and camera/ as unpacked from the published '
        'archives'
    )

    LICENCE = 'its own, non-commercial, account needed'
    PAGE = 'https://www.cityscapes-dataset.com'
    SPLIT_COUNTS = dict(train=2975, val=500, train_extra=19997)
    SCENE_OF = r'[^/]+(?=/[^/]+_leftImg8bit)'  # the city
    PREPARE_NAME = 'cityscapes'
    ROOT = 'data/cityscapes'
    CONFIGS = ('cityscapes.py',)
    ARCHIVES = (
        Archive('leftImg8bit_trainvaltest.zip', None, '11 GB', part='trainvaltest'),
        Archive('disparity_trainvaltest.zip', None, '3.5 GB', part='trainvaltest'),
        Archive('camera_trainvaltest.zip', None, '2 MB', part='trainvaltest'),
        Archive('leftImg8bit_trainextra.zip', None, '44 GB', part='trainextra'),
        Archive('disparity_trainextra.zip', None, '15 GB', part='trainextra'),
        Archive('camera_trainextra.zip', None, '8 MB', part='trainextra'),
    )
    ARCHIVE_MEMBERS = r'^((?:leftImg8bit|disparity|camera)/(?:train|val|test|train_extra)/[^/]+/[^/]+\.(?:png|json))$'
    PARTS = {
        'trainvaltest': '2975 training, 500 validation images',
        'trainextra': '19998 further images',
    }
    DEFAULT_PARTS = ('trainvaltest',)
    GET_BY_HAND = 'log in at https://www.cityscapes-dataset.com/downloads/ and download them there'
    CONTENTS = {'leftImg8bit/*/*/*.png': 'images', 'disparity/*/*/*.png': 'disparities'}

    def __init__(self, data_root: str = '', split: str = 'train', **kwargs) -> None:
        if split not in SPLITS:
            raise ValueError(
                f'CityscapesDataset: split is one of {", ".join(SPLITS)}, got {split!r}'
            )
        self.split = split
        super().__init__(data_root=data_root, **kwargs)

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the images of the split, sorted by path."""
        root = Path(self.data_root)
        folder = root / 'leftImg8bit' / self.split
        if not folder.is_dir():
            raise FileNotFoundError(
                f'{type(self).__name__}: folder {folder} does not exist; {self.PREPARE_HINT}'
            )
        for image in sorted(folder.glob('*/*_leftImg8bit.png')):
            name = image.name.removesuffix('_leftImg8bit.png')
            if name == DAMAGED:
                continue
            city = Path(self.split, image.parent.name)
            sample = dict(
                img_path=str(image),
                depth_path=str(root / 'disparity' / city / f'{name}_disparity.png'),
                camera_path=str(root / 'camera' / city / f'{name}_camera.json'),
                scene='outdoor_scene',
            )
            yield sample, str(folder)

    def add_details(self, sample: dict) -> dict:
        """Add the image's camera: ``cam_intrinsic``, and ``baseline_fx`` in metres times pixels.

        Raises:
            FileNotFoundError: If there is no camera file.
            ValueError: If it lacks what is needed.
        """
        # Cameras differ by city and day, so each image has a file of its own.
        path = Path(sample['camera_path'])
        if not path.is_file():
            raise FileNotFoundError(f'camera file {path} does not exist; {self.PREPARE_HINT}')
        try:
            camera = json.loads(path.read_text(encoding='utf-8'))
            inner = camera['intrinsic']
            matrix = pinhole(inner['fx'], inner['fy'], inner['u0'], inner['v0'])
            baseline = float(camera['extrinsic']['baseline'])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'camera file {path} should hold intrinsic (fx, fy, u0, v0) and '
                f'extrinsic (baseline): {type(error).__name__}: {error}'
            ) from error
        return dict(sample, cam_intrinsic=matrix, baseline_fx=baseline * matrix[0][0])
