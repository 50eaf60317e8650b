"""DIODE."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .cameras import pinhole
from .published import Archive
from .transforms.loading import read_stored, without_invalid

SERVER = 'http://diode-dataset.s3.amazonaws.com'


@READERS.register_module(name='diode')
def read_diode_depth(sample: dict) -> np.ndarray:
    """Return depth, float32 metres (H, W), 0 where the mask beside it is 0.

    Raises:
        FileNotFoundError: If the map or its mask is missing.
        ValueError: If their sizes differ.
    """
    path = sample['depth_path']
    depth = read_stored(path)
    mask = read_stored(path.removesuffix('.npy') + '_mask.npy')
    # Published maps are (768, 1024, 1) and their masks (768, 1024).
    if depth.ndim == 3:
        depth = depth[..., 0]
    if mask.ndim == 3:
        mask = mask[..., 0]
    if depth.shape != mask.shape:
        raise ValueError(
            f'depth map {path} is {depth.shape}, its mask {mask.shape}; they must be equal'
        )
    return without_invalid(np.where(mask > 0, depth, 0).astype(np.float32))


class DIODEDataset(BaseDepthDataset):
    """DIODE, 768x1024, in- and outdoors, one laser scanner; depth in float32 metres with a mask.

    ::

        data/diode/
        └── SPLIT/indoors|outdoor/scene_N/scan_N/
            ├── X.png
            ├── X_depth.npy             (768, 1024, 1)
            └── X_depth_mask.npy        1 = measured

    Args:
        split: ``train`` or ``val`` (325 images indoors, 446 outdoors; what is published as the test
            set).
        **kwargs: See :class:`BaseDepthDataset`; lines "IMAGE ..." of an ``ann_file`` choose,
            otherwise the folders do.

    Raises:
        FileNotFoundError: If the folder of the split is missing.
        ValueError: If it holds no image.

    Reference: DIODE: A Dense Indoor and Outdoor DEpth Dataset, https://arxiv.org/abs/1908.00463
    """

    DEPTH_READER = 'diode'
    FOLDER = ''
    CAM_INTRINSIC = pinhole(886.81, 927.06, 512, 384)  # pixels; intrinsics.txt of the published kit
    PREPARE_HINT = (
        'it should hold train/ or val/ with indoors/ and outdoor/ as unpacked from the published '
        'archives'
    )
    SELECTION = ('split',)

    LICENCE = 'MIT'
    PAGE = 'https://diode-dataset.org'
    SCENE_OF = r'scene_\d+'
    PREPARE_NAME = 'diode'
    ROOT = 'data/diode'
    CONFIGS = ('diode_indoor.py', 'diode_outdoor.py')
    ARCHIVES = (
        Archive('val.tar.gz', f'{SERVER}/val.tar.gz', '2.6 GB', part='val'),
        Archive('train.tar.gz', f'{SERVER}/train.tar.gz', '81 GB', part='train'),
    )
    ARCHIVE_MEMBERS = r'^((?:val|train)/.*\.(?:png|npy))$'
    PARTS = {'val': '325 indoor and 446 outdoor images, 2.6 GB', 'train': '81 GB'}
    DEFAULT_PARTS = ('val',)
    CONTENTS = {
        'val/indoors/*/*/*.png': 'indoor validation images of 325',
        'val/outdoor/*/*/*.png': 'outdoor validation images of 446',
        'train/*/*/*/*.png': 'training images',
    }

    def __init__(self, data_root: str = '', split: str = 'val', **kwargs) -> None:
        self.split = split
        super().__init__(data_root=data_root, **kwargs)

    def split_name(self) -> str:
        """Return the name of the list, or the folder that is the split."""
        if self.ann_file:
            return Path(self.ann_file).name
        return self.split

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the listed images, or those of the split's folder, sorted by path."""
        if self.ann_file:
            yield from super().find_samples()
            return
        folder = Path(self.data_root, self.split, self.FOLDER)
        if not folder.is_dir():
            raise FileNotFoundError(
                f'{type(self).__name__}: folder {folder} does not exist; {self.PREPARE_HINT}'
            )
        for image in sorted(folder.glob('scene_*/scan_*/*.png')):
            yield self._sample(image), str(folder)

    def parse_line(self, fields: list[str], where: str) -> dict:
        """Return the sample of an image relative to ``data_root``."""
        return self._sample(Path(self.data_root, fields[0]))

    def _sample(self, image: Path) -> dict:
        depth = image.with_name(f'{image.stem}_depth.npy')
        return dict(img_path=str(image), depth_path=str(depth), cam_intrinsic=self.CAM_INTRINSIC)


@DATASETS.register_module()
class DIODEIndoorDataset(DIODEDataset):
    """The indoor part of :class:`DIODEDataset`; range 10 m in its protocol."""

    METAINFO = dict(dataset_name='diode_indoor', min_depth=1e-3, max_depth=10.0)
    FOLDER = 'indoors'
    SPLIT_COUNTS = dict(val=325)


@DATASETS.register_module()
class DIODEOutdoorDataset(DIODEDataset):
    """The outdoor part of :class:`DIODEDataset`; range 80 m in its protocol."""

    METAINFO = dict(dataset_name='diode_outdoor', min_depth=1e-3, max_depth=80.0)
    FOLDER = 'outdoor'
    SPLIT_COUNTS = dict(val=446)
