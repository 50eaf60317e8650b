"""KITTI raw: stereo pairs and laser scans, listed as self-supervised methods do."""

from collections.abc import Sequence
from pathlib import Path

from depth.registry import DATASETS

from .base import BaseDepthDataset
from .cameras import pinhole
from .kitti import KITTIDataset
from .published import MONODEPTH2_SPLITS, SplitFile
from .velodyne import read_calibration

# As Monodepth2 reads its lists: l and r, or the numbers of the cameras.
SIDES = {'l': 'left', 'r': 'right', '2': 'left', '3': 'right'}
FOLDERS = {'left': 'image_02', 'right': 'image_03'}


@DATASETS.register_module()
class KITTIRawDataset(BaseDepthDataset):
    """KITTI raw, synced and rectified; outdoor, about 375x1242.

    ::

        data/kitti_raw/
        ├── SPLIT.txt                              "DATE/DRIVE FRAME l|r" a line
        ├── DATE/calib_cam_to_cam.txt, calib_velo_to_cam.txt
        ├── DATE/DRIVE/image_02/data/N.jpg         left colour camera; N has ten digits; jpg or png, found by itself
        ├── DATE/DRIVE/image_03/data/N.jpg         right colour camera
        ├── DATE/DRIVE/velodyne_points/data/N.bin  laser scans, for evaluation
        └── depth_hints/DATE/DRIVE/image_02|03/N.npy   optional, see ``hint_root``

    A sample has ``img_path``, ``side`` (``left`` or ``right``), ``velodyne_path`` and
    ``calib_dir``; with ``stereo`` also ``other_img_path`` and ``baseline``; with ``hint_root`` also
    ``depth_hint_path``.

    Args:
        stereo: Give the other view too.
        baseline: Distance of the cameras in metres; None takes it from the day's calibration (about
            0.5327).
        hint_root: Folder of depth hints below ``data_root`` or absolute; None for none.
        **kwargs: See :class:`BaseDepthDataset`.

    Raises:
        ValueError: If a line is malformed.

    Reference: Vision meets Robotics: The KITTI Dataset,
    https://www.cvlibs.net/datasets/kitti/raw_data.php; the split lines are those of
    https://arxiv.org/abs/1806.01260 and of EPCDepth, https://arxiv.org/abs/2109.12484.
    """

    METAINFO = dict(dataset_name='kitti_raw', min_depth=1e-3, max_depth=80.0)
    CAMERA_HEIGHT = (1.4, 1.95)  # 1.65 m, and the slope of the road
    SELECTION = ('stereo', 'baseline', 'hint_root')
    DEPTH_SCALE = 256.0
    PREPARE_HINT = 'it should hold DATE/DRIVE/image_02/data/N.jpg (or png) of KITTI raw'

    LICENCE = KITTIDataset.LICENCE
    PAGE = 'https://www.cvlibs.net/datasets/kitti/raw_data.php'
    SPLIT_FILES = {
        'eigen_full_train.txt': SplitFile(
            45200,
            45200,
            '1b491141d87b7af9e6706609b7ce858c198c3a4ca61d180c7dc90815d5f2a986',
            f'{MONODEPTH2_SPLITS}/eigen_full/train_files.txt',
            folder='splits',
            part='train',
        ),
        'eigen_full_val.txt': SplitFile(
            1776,
            1776,
            '9c4446772ec58aaa60acbeef0fa6d1e8ef1b346ad4f78272d056d10cf1993af9',
            f'{MONODEPTH2_SPLITS}/eigen_full/val_files.txt',
            folder='splits',
            part='train',
        ),
        'eigen_test.txt': SplitFile(
            697,
            697,
            'e226d4ca16e0e6e9695435014347dcf973588531330536fd8a68d298ef091a6b',
            f'{MONODEPTH2_SPLITS}/eigen/test_files.txt',
            folder='splits',
            part='test',
        ),
    }
    SCENE_OF = KITTIDataset.SCENE_OF
    RECORDINGS = KITTIDataset.RECORDINGS
    SPLITS_SHARING_SCENES = ('val',)  # the published validation list has frames of training drives
    TEST_SET = KITTIDataset.TEST_SET
    TEST_SCENES = KITTIDataset.TEST_SCENES
    RENDERED_SCENE = KITTIDataset.RENDERED_SCENE
    PREPARE_NAME = 'kitti_raw'
    ROOT = 'data/kitti_raw'
    CONFIGS = ('kitti_raw.py', 'kitti_raw_native.py')
    PARTS = {
        'train': 'drives of the training and validation list',
        'test': 'drives of the Eigen test list',
    }
    DEFAULT_PARTS = ('train', 'test')

    def __init__(
        self,
        stereo: bool = False,
        baseline: float | None = 0.54,
        hint_root: str | None = None,
        **kwargs,
    ) -> None:
        self.stereo = stereo
        self.baseline = baseline
        self.hint_root = hint_root
        self._suffixes: dict[Path, str] = {}
        self._baselines: dict[Path, float] = {}
        super().__init__(**kwargs)

    def parse_line(self, fields: Sequence[str], where: str) -> dict:
        """Return the sample of a line ``DATE/DRIVE FRAME SIDE``."""
        folders = Path(fields[0]).parts if fields else ()
        if (
            len(fields) < 3
            or len(folders) != 2
            or not fields[1].isdigit()
            or fields[2] not in SIDES
        ):
            raise ValueError(
                f'{type(self).__name__}: {where} should read "DATE/DRIVE FRAME l|r", it is '
                f'{" ".join(fields)!r}'
            )
        root, frame, side = Path(self.data_root or '.'), f'{int(fields[1]):010d}', SIDES[fields[2]]
        drive = root / fields[0]
        sample = dict(
            img_path=self._image(drive, side, frame),
            side=side,
            velodyne_path=str(drive / 'velodyne_points' / 'data' / f'{frame}.bin'),
            calib_dir=str(root / folders[0]),
            cam_intrinsic=self._intrinsic(folders[0]),
        )
        if self.stereo:
            other = 'right' if side == 'left' else 'left'
            sample['other_img_path'] = self._image(drive, other, frame)
            sample['baseline'] = self._baseline(root / folders[0])
        if self.hint_root is not None:
            sample['depth_hint_path'] = str(
                root / self.hint_root / fields[0] / FOLDERS[side] / f'{frame}.npy'
            )
        return sample

    def _image(self, drive: Path, side: str, frame: str) -> str:
        """Return the image's path; whether a folder holds JPEG or PNG is looked up once."""
        folder = drive / FOLDERS[side] / 'data'
        if folder not in self._suffixes:
            is_png = (folder / f'{frame}.png').is_file()
            is_jpeg = (folder / f'{frame}.jpg').is_file()
            # A missing image gets the usual name, for the message.
            self._suffixes[folder] = '.png' if is_png and not is_jpeg else '.jpg'
        return str(folder / f'{frame}{self._suffixes[folder]}')

    @staticmethod
    def _intrinsic(day: str) -> list[list[float]] | None:
        # Both cameras have one matrix; their P_rect differ in the last column alone.
        if day not in KITTIDataset.CAMERAS:
            return None
        focal, cx, cy = KITTIDataset.CAMERAS[day]
        return pinhole(focal, focal, cx, cy)

    def _baseline(self, day: Path) -> float:
        if self.baseline is not None:
            return self.baseline
        if day not in self._baselines:
            cameras = read_calibration(day / 'calib_cam_to_cam.txt')
            left = cameras['P_rect_02'].reshape(3, 4)
            right = cameras['P_rect_03'].reshape(3, 4)
            # P = K [I | t]: the last column holds focal length times distance from camera 0.
            self._baselines[day] = float((left[0, 3] - right[0, 3]) / left[0, 0])
        return self._baselines[day]
