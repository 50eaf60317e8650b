"""KITTI with the Eigen split."""

import re
from collections.abc import Iterator
from pathlib import Path

from depth.registry import DATASETS

from .base import BaseDepthDataset
from .cameras import pinhole
from .published import TOOLBOX_SPLITS, Archive, SplitFile

SERVER = 'https://s3.eu-central-1.amazonaws.com/avg-kitti'
GROUND_TRUTH_ARCHIVE = Archive(
    'data_depth_annotated.zip', f'{SERVER}/data_depth_annotated.zip', '14 GB', part='depth'
)
# The 28 drives that Eigen et al. keep for testing; every one has frames in the test list.
EIGEN_TEST_DRIVES = frozenset(
    f'2011_{drive}'
    for drive in (
        '09_26_drive_0002 09_26_drive_0009 09_26_drive_0013 09_26_drive_0020 09_26_drive_0023 '
        '09_26_drive_0027 09_26_drive_0029 09_26_drive_0036 09_26_drive_0046 09_26_drive_0048 '
        '09_26_drive_0052 09_26_drive_0056 09_26_drive_0059 09_26_drive_0064 09_26_drive_0084 '
        '09_26_drive_0086 09_26_drive_0093 09_26_drive_0096 09_26_drive_0101 09_26_drive_0106 '
        '09_26_drive_0117 09_28_drive_0002 09_29_drive_0071 09_30_drive_0016 09_30_drive_0018 '
        '09_30_drive_0027 10_03_drive_0027 10_03_drive_0047'
    ).split()
)


@DATASETS.register_module()
class KITTIDataset(BaseDepthDataset):
    """KITTI raw images with the depth benchmark's ground truth: outdoor, 375x1242, depth * 256.

    ::

        data/kitti/
        ├── kitti_eigen_train.txt      "DATE/DRIVE/image_02/data/N.png DRIVE/.../image_02/N.png FOCAL" a line
        ├── kitti_eigen_test.txt       697 lines, 45 of them with "None" as depth (left out: 652)
        ├── input/DATE/DRIVE/image_02/data/N.png      or N.jpg: whether a drive was converted is found by itself
        └── gt_depth/DRIVE/proj_depth/groundtruth/image_02/N.png

    The intrinsics are those of the recording day's rectified colour camera (image_02); image_03
    shares them.

    Reference: Depth Map Prediction from a Single Image using a Multi-Scale Deep Network (the
    split), https://arxiv.org/abs/1406.2283; Sparsity Invariant CNNs (the ground truth),
    https://arxiv.org/abs/1708.06500.
    """

    METAINFO = dict(dataset_name='kitti', min_depth=1e-3, max_depth=80.0)
    TYPICAL_DEPTH = (8.5, 20.0)
    CAMERA_HEIGHT = (1.4, 1.95)  # 1.65 m, and the slope of the road
    NOMINAL_CAMERA = (0.58, 0.47)
    DEPTH_SCALE = 256.0
    # Recording day: fx = fy, cx, cy in pixels of the full frame, from P_rect_02 of its
    # calib_cam_to_cam.txt. The car was calibrated again each day.
    CAMERAS = {
        '2011_09_26': (721.5377, 609.5593, 172.8540),
        '2011_09_28': (707.0493, 604.0814, 180.5066),
        '2011_09_29': (718.3351, 600.3891, 181.5122),
        '2011_09_30': (707.0912, 601.8873, 183.1104),
        '2011_10_03': (718.8560, 607.1928, 185.2157),
    }

    SCENE = 'outdoor_scene'  # the category of every frame, for methods that learn scene categories

    LICENCE = 'CC BY-NC-SA 3.0'
    PAGE = 'https://www.cvlibs.net/datasets/kitti/eval_depth.php?benchmark=depth_prediction'
    SPLIT_FILES = {
        'kitti_eigen_train.txt': SplitFile(
            23158,
            23158,
            '3655308ee4a017094dc620402db3fc587d769cfbfa9a16c6d0f8de6dcbe109ec',
            f'{TOOLBOX_SPLITS}/kitti_eigen_train.txt',
        ),
        'kitti_eigen_test.txt': SplitFile(
            697,
            652,
            '8d0499af9ab4c0d1cd7944d572b0e0e4412feab1e73f4003038426fde699b53a',
            f'{TOOLBOX_SPLITS}/kitti_eigen_test.txt',
        ),
    }
    SCENE_OF = r'\d{4}_\d\d_\d\d_drive_\d{4}'
    RECORDINGS = 'kitti'  # the lists of all KITTI data sets are made from one set of drives
    TEST_SET = 'Eigen'
    TEST_SCENES = EIGEN_TEST_DRIVES
    RENDERED_SCENE = r'_drive_9\d{3}_|benchmark_test'  # the real set has no such numbers
    PREPARE_NAME = 'kitti_eigen'
    ROOT = 'data/kitti'
    CONFIGS = ('kitti_eigen.py',)
    ARCHIVES = (GROUND_TRUTH_ARCHIVE,)
    PARTS = {
        'images': 'the drives of KITTI raw, up to 175 GB; --raw DIR links a copy',
        'depth': 'the ground truth',
    }
    DEFAULT_PARTS = ('images', 'depth')

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield each sample; images converted to JPEG are found under their listed PNG names."""
        # By folder: asking the disk for every one of 23158 images takes seconds.
        converted: dict[Path, bool] = {}
        for sample, where in super().find_samples():
            image = Path(sample['img_path'])
            if image.parent not in converted:
                is_converted = not image.is_file() and image.with_suffix('.jpg').is_file()
                converted[image.parent] = is_converted
            if converted[image.parent]:
                sample['img_path'] = str(image.with_suffix('.jpg'))
            yield dict(sample, scene=self.SCENE), where

    def parse_line(self, fields: list[str], where: str) -> dict | None:
        """Return the sample of a line, with intrinsics if its path names a known recording day."""
        sample = super().parse_line(fields, where)
        day = re.search(r'\d{4}_\d\d_\d\d', fields[0])
        if sample is None or day is None or day.group() not in self.CAMERAS:
            return sample
        focal, cx, cy = self.CAMERAS[day.group()]
        return dict(sample, cam_intrinsic=pinhole(focal, focal, cx, cy))
