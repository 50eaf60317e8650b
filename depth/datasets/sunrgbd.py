"""SUN RGB-D."""

from pathlib import Path

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .cameras import read_camera_text
from .published import TOOLBOX_SPLITS, Archive, SplitFile
from .transforms.loading import read_uint16


@READERS.register_module(name='sunrgbd')
def read_sunrgbd_depth(sample: dict) -> np.ndarray:
    """Read a depth map of SUN RGB-D as float32 metres (H, W).

    The stored 16 bits are millimetres rotated left by three.

    Raises:
        ValueError: If the file is no 16-bit image.
    """
    stored = read_uint16(sample['depth_path'])
    # Back to the right by three bits, as the toolbox of the data set does it.
    return (stored >> 3 | stored << 13).astype(np.float32) / np.float32(1000)


@DATASETS.register_module()
class SUNRGBDDataset(BaseDepthDataset):
    """SUN RGB-D, for evaluation: indoor, four cameras, 16-bit PNG in rotated millimetres.

    ::

        data/sunrgbd/
        ├── SUNRGBD_val_splits.txt     "SUNRGBD/.../image/X.jpg SUNRGBD/.../depth/X.png" a line (5050 lines)
        └── SUNRGBD/kv1|kv2|realsense|xtion/.../SCENE/
            ├── image/X.jpg
            ├── depth/X.png            ``depth/``, not the smoothed ``depth_bfx/``
            └── intrinsics.txt         nine numbers

    Depth beyond 8 m is kept as stored; the protocol says what becomes of it.

    Reference: SUN RGB-D: A RGB-D Scene Understanding Benchmark Suite, CVPR 2015,
    https://rgbd.cs.princeton.edu
    """

    METAINFO = dict(dataset_name='sunrgbd', min_depth=1e-3, max_depth=8.0)
    TYPICAL_DEPTH = (1.6, 3.6)
    DEPTH_READER = 'sunrgbd'

    LICENCE = 'none stated, academic use with citation'
    PAGE = 'https://rgbd.cs.princeton.edu'
    SPLIT_FILES = {
        'SUNRGBD_val_splits.txt': SplitFile(
            5050,
            5050,
            'a3f59e7fce9db49690f6993e9fe8c4ad1cb556a359f512138ee710b60bf5f0f2',
            f'{TOOLBOX_SPLITS}/SUNRGBD_val_splits.txt',
        ),
    }
    PREPARE_NAME = 'sunrgbd'
    ROOT = 'data/sunrgbd'
    CONFIGS = ('sunrgbd.py',)
    ARCHIVES = (Archive('SUNRGBD.zip', 'https://rgbd.cs.princeton.edu/data/SUNRGBD.zip', '6.4 GB'),)
    ARCHIVE_MEMBERS = r'^(SUNRGBD/.*/(?:image/[^/]+\.jpg|depth/[^/]+\.png|intrinsics\.txt))$'

    def add_details(self, sample: dict) -> dict:
        """Add the intrinsics of the scene's folder, where it has its file."""
        path = Path(sample['img_path']).parents[1] / 'intrinsics.txt'
        if not path.is_file():
            return sample
        return dict(sample, cam_intrinsic=read_camera_text(path))
