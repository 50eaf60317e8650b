"""DDAD."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .cameras import pinhole, project_points
from .published import Archive
from .transforms.loading import read_stored

# Keys of "scene_splits" in ddad.json.
SPLITS = dict(train='0', val='1', test='2')


@READERS.register_module(name='ddad')
def read_ddad_depth(sample: dict) -> np.ndarray:
    """Return depth, float32 metres (H, W), of the laser points that fall into the image.

    Laser and camera move between their exposures: points go through the world, by the pose of each
    sensor at its time. Of several points in a pixel the nearest stays.

    Raises:
        FileNotFoundError: If the point file is missing.
        ValueError: If it holds no points (M, 3 or more).
    """
    path = sample['depth_path']
    points = read_stored(path)
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError(
            f'point file {path} holds {points.shape}, expected (M, 4): x, y, z, intensity'
        )
    # Poses lead from the sensor to the world.
    camera_to_world = pose_matrix(sample['camera_pose'])
    lidar_to_camera = np.linalg.inv(camera_to_world) @ pose_matrix(sample['lidar_pose'])
    rotation, translation = lidar_to_camera[:3, :3], lidar_to_camera[:3, 3]
    in_camera = points[:, :3].astype(np.float64) @ rotation.T + translation
    # The camera and the size of the file: the pipeline may have resized the image meanwhile.
    return project_points(in_camera, sample['full_intrinsic'], tuple(sample['full_shape']))


def pose_matrix(pose: dict) -> np.ndarray:
    """Return the transform (4, 4) of a stored pose.

    ``rotation`` is a unit quaternion (qw, qx, qy, qz), ``translation`` is in metres.
    """
    w, x, y, z = (float(pose['rotation'][name]) for name in ('qw', 'qx', 'qy', 'qz'))
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = [float(pose['translation'][name]) for name in ('x', 'y', 'z')]
    return matrix


@DATASETS.register_module()
class DDADDataset(BaseDepthDataset):
    """DDAD: outdoor, 1216x1936, six cameras, laser scanner up to 250 m, original scene files.

    ::

        data/ddad/
        ├── ddad.json                          "scene_splits": {"0": train, "1": val}, each {"filenames": [...]}
        └── NNNNNN/
            ├── scene_HASH.json                samples, data with file names and poses
            ├── calibration/HASH.json          names, intrinsics
            ├── rgb/CAMERA_NN/T.png            or jpg
            └── point_cloud/LIDAR/T.npz        key ``data``: x, y, z, intensity

    The scans are projected when they are read. Images that are already prepared (16-bit PNG beside
    each image) are read by ``FolderDepthDataset`` with ``depth_scale=256``.

    Args:
        split: ``train`` (150 scenes), ``val`` (50 scenes; 3950 images of CAMERA_01) or ``test``
            where it is listed.
        cameras: Which cameras; ``CAMERA_01`` looks ahead.
        **kwargs: See :class:`BaseDepthDataset`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not what it should be, or nothing is left.

    Reference: 3D Packing for Self-Supervised Monocular Depth Estimation,
    https://arxiv.org/abs/1905.02693, https://github.com/TRI-ML/DDAD
    """

    METAINFO = dict(dataset_name='ddad', min_depth=1e-3, max_depth=80.0)
    SELECTION = ('split', 'cameras')
    DEPTH_READER = 'ddad'
    PREPARE_HINT = 'it should hold ddad.json and the scene folders of the published archive'

    LICENCE = 'CC BY-NC-SA 4.0'
    PAGE = 'https://github.com/TRI-ML/DDAD'
    SPLIT_COUNTS = dict(train=12650, val=3950)  # of one camera
    SCENE_OF = r'(?<=/)\d{6}(?=/)'
    PREPARE_NAME = 'ddad'
    ROOT = 'data/ddad'
    CONFIGS = ('ddad.py',)
    ARCHIVES = (
        Archive(
            'DDAD.tar',
            'https://tri-ml-public.s3.amazonaws.com/github/DDAD/datasets/DDAD.tar',
            '257 GB',
        ),
    )
    ARCHIVE_MEMBERS = (
        r'(?:^|/)(ddad\.json|'
        r'\d{6}/(?:scene_\w+\.json|calibration/.+\.json|rgb/.+|point_cloud/.+\.npz))$'
    )
    CONTENTS = {'[0-9]*/scene_*.json': 'scenes of 200'}

    def __init__(
        self,
        data_root: str = '',
        split: str = 'val',
        cameras: tuple[str, ...] = ('CAMERA_01',),
        ann_file: str = 'ddad.json',
        **kwargs,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'DDADDataset: split is one of {", ".join(SPLITS)}, got {split!r}')
        self.split, self.cameras = split, tuple(cameras)
        super().__init__(data_root=data_root, ann_file=ann_file, **kwargs)

    def published_count(self) -> int | None:
        """Return the published number of images of the chosen cameras, which have equally many."""
        count = super().published_count()
        if count is None:
            return None
        return count * len(self.cameras)

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the images of the split, scene by scene in the file's order."""
        splits = _read_json(self.ann_file, self.PREPARE_HINT)['scene_splits']
        for name in splits.get(SPLITS[self.split], dict(filenames=[]))['filenames']:
            path = Path(self.data_root, name)
            try:
                for sample in self._scene(path):
                    yield sample, str(path)
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f'{path} is no scene file of DDAD: {type(error).__name__}: {error}'
                ) from error

    def _scene(self, path: Path) -> Iterator[dict]:
        """Yield the samples of a scene file, which names data and calibrations by their keys."""
        scene = _read_json(path, self.PREPARE_HINT)
        data = {datum['key']: datum for datum in scene['data']}
        matrices: dict[str, dict] = {}
        for entry in scene['samples']:
            key = entry['calibration_key']
            if key not in matrices:
                calibration = path.parent / 'calibration' / f'{key}.json'
                matrices[key] = _intrinsics(_read_json(calibration, self.PREPARE_HINT))
            # Names in upper case, as those of the folders, however a file writes them.
            sensors = {}
            for datum_key in entry['datum_keys']:
                datum = data[datum_key]
                sensors[datum['id']['name'].upper()] = datum['datum']
            for camera in self.cameras:
                if camera not in sensors or 'LIDAR' not in sensors:
                    continue
                image, intrinsic = sensors[camera]['image'], matrices[key][camera]
                yield self._sample(path.parent, image, sensors['LIDAR'], intrinsic)

    @staticmethod
    def _sample(folder: Path, image: dict, lidar: dict, intrinsic: list) -> dict:
        points = lidar['point_cloud']
        return dict(
            img_path=str(folder / image['filename']),
            depth_path=str(folder / points['filename']),
            cam_intrinsic=intrinsic,
            full_intrinsic=intrinsic,
            full_shape=[int(image['height']), int(image['width'])],
            camera_pose=image['pose'],
            lidar_pose=points['pose'],
            scene='outdoor_scene',
        )


def _intrinsics(calibration: dict) -> dict[str, list[list[float]]]:
    """Return the pinhole matrices (3, 3) by the camera's name, in upper case."""
    matrices = {}
    for name, camera in zip(calibration['names'], calibration['intrinsics'], strict=True):
        matrices[name.upper()] = pinhole(camera['fx'], camera['fy'], camera['cx'], camera['cy'])
    return matrices


def _read_json(path: str | Path, hint: str) -> dict:
    if not Path(path).is_file():
        raise FileNotFoundError(f'DDADDataset: {path} does not exist; {hint}')
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON file, it may be cut off: {error}') from error
