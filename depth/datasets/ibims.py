"""iBims-1."""

from pathlib import Path

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .cameras import read_camera_text
from .optional_imports import import_optional
from .published import Archive
from .transforms.loading import read_image, read_uint16, without_invalid


@DATASETS.register_module()
class IBimsDataset(BaseDepthDataset):
    """iBims-1 core, for evaluation: indoor, 100 images, 480x640, laser scanned, scored up to 10 m.

    One of the two published archives, found by itself::

        data/ibims1/                  ibims1_core_raw             or      ibims1_core_mat
        ├── imagelist.txt             one base name a line                the same
        ├── rgb/N.png                                                     N.mat: data.rgb (H, W, 3), data.depth (H, W)
        ├── depth/N.png               16 bit, 50 m are 65535              in metres, data.mask_invalid,
        ├── mask_invalid/N.png        0 = no reliable depth               data.mask_transp, data.calib (3, 3)
        ├── mask_transp/N.png         0 = glass and the like
        └── calib/N.txt               nine numbers, or fx, fy, cx, cy

    Where one of the two masks is 0 there is no ground truth.

    Reference: Evaluation of CNN-based Single-Image Depth Estimation Methods,
    https://arxiv.org/abs/1805.01328
    """

    METAINFO = dict(dataset_name='ibims', min_depth=1e-3, max_depth=10.0)
    PREPARE_HINT = (
        'it should hold imagelist.txt and either rgb/, depth/, mask_invalid/, mask_transp/ or '
        '.mat files'
    )

    LICENCE = 'research use, see the archive'
    PAGE = 'https://www.asg.ed.tum.de/lmf/ibims1/'
    SPLIT_COUNTS = {'imagelist.txt': 100}
    PREPARE_NAME = 'ibims'
    ROOT = 'data/ibims1'
    CONFIGS = ('ibims.py',)
    ARCHIVES = (
        Archive(
            'ibims1_core_raw.zip',
            'https://dataserv.ub.tum.de/s/m1455541/download?path=%2F&files=ibims1_core_raw.zip',
            '55 MB',
        ),
    )
    ARCHIVE_MEMBERS = r'(?:^|/)(imagelist\.txt|(?:rgb|depth|mask_invalid|mask_transp|calib)/[^/]+)$'
    CONTENTS = {
        'rgb/*': 'images of 100',
        'depth/*': 'depth maps of 100',
        'mask_invalid/*': 'masks of invalid depth of 100',
        'mask_transp/*': 'masks of transparent surfaces of 100',
        'calib/*': 'camera files of 100',
    }

    def __init__(self, data_root: str = '', ann_file: str = 'imagelist.txt', **kwargs) -> None:
        super().__init__(data_root=data_root, ann_file=ann_file, **kwargs)

    def parse_line(self, fields: list[str], where: str) -> dict:
        """Return the sample of one base name."""
        root, name = Path(self.data_root), fields[0]
        if not (root / 'rgb').is_dir():
            path = str(root / f'{name}.mat')
            return dict(
                img_path=path,
                depth_path=path,
                img_reader='ibims_mat_image',
                depth_reader='ibims_mat',
            )
        image, depth = root / 'rgb' / f'{name}.png', root / 'depth' / f'{name}.png'
        return dict(img_path=str(image), depth_path=str(depth), depth_reader='ibims_png')

    def add_details(self, sample: dict) -> dict:
        """Add the intrinsics of the image."""
        path = Path(sample['img_path'])
        if path.suffix == '.mat':
            return dict(sample, cam_intrinsic=_mat(path)['calib'].astype(float).tolist())
        path = path.parents[1] / 'calib' / f'{path.stem}.txt'
        if not path.is_file():
            return sample
        return dict(sample, cam_intrinsic=read_camera_text(path))


@READERS.register_module(name='ibims_png')
def read_ibims_png(sample: dict) -> np.ndarray:
    """Return masked depth, float32 metres (H, W), of the png archive."""
    path = Path(sample['depth_path'])
    stored = read_uint16(path)
    # 65535 is 50 m: a step of 0.76 mm.
    depth = stored.astype(np.float32) * np.float32(50 / 65535)
    for mask in ('mask_invalid', 'mask_transp'):
        depth[read_image(path.parents[1] / mask / path.name)[..., 0] == 0] = 0
    return depth


@READERS.register_module(name='ibims_mat')
def read_ibims_mat(sample: dict) -> np.ndarray:
    """Return masked depth, float32 metres (H, W), of the MATLAB archive."""
    data = _mat(sample['depth_path'])
    depth = without_invalid(data['depth'].astype(np.float32))
    depth[(data['mask_invalid'] == 0) | (data['mask_transp'] == 0)] = 0
    return depth


@READERS.register_module(name='ibims_mat_image')
def read_ibims_mat_image(sample: dict) -> np.ndarray:
    """Return the image of the MATLAB archive, BGR uint8 (H, W, 3)."""
    return np.ascontiguousarray(_mat(sample['img_path'])['rgb'][..., ::-1])


def _mat(path: str | Path) -> dict[str, np.ndarray]:
    """Return the fields of the structure ``data``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such MATLAB file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist; {IBimsDataset.PREPARE_HINT}')
    try:
        # MATLAB's structure is an array (1, 1) of records in SciPy.
        data = import_optional('scipy.io', 'iBims-1').loadmat(path)['data'][0, 0]
        names = ('rgb', 'depth', 'mask_invalid', 'mask_transp', 'calib')
        return {name: data[name] for name in names}
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise ValueError(
            f'{path} is no file of the iBims-1 MATLAB archive: {type(error).__name__}: {error}'
        ) from error
