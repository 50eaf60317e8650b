"""KITTI depth completion."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depth.registry import DATASETS

from .cameras import read_camera_text
from .kitti import GROUND_TRUTH_ARCHIVE, SERVER
from .kitti_benchmark import KITTIBenchmarkDataset
from .published import Archive, SplitFile

SELECTION_FOLDERS = dict(
    val_selection='depth_selection/val_selection_cropped',
    test='depth_selection/test_depth_completion_anonymous',
)


@DATASETS.register_module()
class KITTICompletionDataset(KITTIBenchmarkDataset):
    """KITTI depth completion: images with the points of one laser scan, depth * 256.

    ::

        data/kitti/
        ├── depth_selection/val_selection_cropped/      1000 frames of 1216x352, DRIVE and N in their names
        │   ├── image/DRIVE_image_N_image_02.png
        │   ├── velodyne_raw/DRIVE_velodyne_raw_N_image_02.png
        │   ├── groundtruth_depth/DRIVE_groundtruth_depth_N_image_02.png
        │   └── intrinsics/DRIVE_image_N_image_02.txt
        ├── depth_selection/test_depth_completion_anonymous/{image,velodyne_raw,intrinsics}/N.png
        ├── kitti_benchmark_train.txt, kitti_benchmark_val.txt      as for KITTIBenchmarkDataset
        ├── input/, gt_depth/                                        likewise
        └── velodyne_raw/DRIVE/proj_depth/velodyne_raw/image_02|image_03/N.png

    A sample's points are in the file ``sparse_path``, which ``LoadSparseDepth`` reads.

    Args:
        split: Without ``ann_file``: ``'val_selection'``, or ``'test'``, whose images have no ground
            truth. With it, the frames are those of its lines, and their points are below
            ``data_prefix['sparse_path']``.
        **kwargs: See :class:`~depth.datasets.BaseDepthDataset`.

    Raises:
        FileNotFoundError: If a folder or the first sample's files are missing.
        ValueError: If the split is unknown.

    Reference: Sparsity Invariant CNNs, https://arxiv.org/abs/1708.06500;
    https://www.cvlibs.net/datasets/kitti/eval_depth.php?benchmark=depth_completion
    """

    METAINFO = dict(dataset_name='kitti_completion', min_depth=1e-3, max_depth=90.0)
    SELECTION = ('split',)

    PAGE = 'https://www.cvlibs.net/datasets/kitti/eval_depth.php?benchmark=depth_completion'
    SPLIT_COUNTS = {'val_selection': 1000, 'kitti_benchmark_train.txt': 85898}
    SPLIT_FILES = {
        name: SplitFile(split.lines, split.usable, split.sha256, split.url, part='depth')
        for name, split in KITTIBenchmarkDataset.SPLIT_FILES.items()
        if name == 'kitti_benchmark_val.txt'
    }
    RENDERED_SCENE = r'_drive_9\d{3}_|test_depth_completion_anonymous'
    PREPARE_NAME = 'kitti_completion'
    CONFIGS = ('kitti_completion.py',)
    ARCHIVES = (
        Archive(
            'data_depth_selection.zip',
            f'{SERVER}/data_depth_selection.zip',
            '2 GB',
            part='selection',
        ),
        Archive(
            'data_depth_velodyne.zip', f'{SERVER}/data_depth_velodyne.zip', '5 GB', part='points'
        ),
        GROUND_TRUTH_ARCHIVE,
    )
    PARTS = {
        'selection': 'the 1000 validation and the 1000 test frames',
        'images': KITTIBenchmarkDataset.PARTS['images'],
        'points': 'the laser scans of training and validation drives',
        'depth': 'their ground truth and lists',
    }
    DEFAULT_PARTS = ('selection', 'depth', 'points', 'images')

    def __init__(
        self,
        data_root: str = '',
        ann_file: str = '',
        data_prefix: dict | None = None,
        split: str = 'val_selection',
        **kwargs: Any,
    ) -> None:
        if split not in SELECTION_FOLDERS:
            raise ValueError(
                f'KITTICompletionDataset: split is one of {", ".join(SELECTION_FOLDERS)}, got '
                f'{split!r}; training frames are those of an ann_file'
            )
        self.split = '' if ann_file else split
        prefix = dict(sparse_path='') | dict(data_prefix or {})
        super().__init__(data_root=data_root, ann_file=ann_file, data_prefix=prefix, **kwargs)

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield each frame of a list, or of the folder of a split in the order of its names."""
        if self.ann_file:
            yield from super().find_samples()
            return
        folder = Path(self.data_root, SELECTION_FOLDERS[self.split])
        images = sorted(folder.glob('image/*.png'))
        if not images:
            raise FileNotFoundError(
                f'KITTICompletionDataset: {folder}/image holds no PNG; {self.PREPARE_HINT}'
            )
        for image in images:
            points = folder / 'velodyne_raw' / image.name.replace('_image_', '_velodyne_raw_', 1)
            sample = dict(img_path=str(image), sparse_path=str(points), scene=self.SCENE)
            sample['cam_path'] = str(folder / 'intrinsics' / f'{image.stem}.txt')
            if self.split != 'test':
                name = image.name.replace('_image_', '_groundtruth_depth_', 1)
                sample['depth_path'] = str(folder / 'groundtruth_depth' / name)
            yield sample, str(folder)

    def parse_line(self, fields: list[str], where: str) -> dict | None:
        """Return the sample of one line, with the file of its points."""
        sample = super().parse_line(fields, where)
        if sample is None or len(fields) < 2:
            return sample
        points = fields[1].lstrip('/').replace('/groundtruth/', '/velodyne_raw/')
        sample['sparse_path'] = str(Path(self.data_prefix['sparse_path'], points))
        return sample

    def add_details(self, sample: dict) -> dict:
        """Add the intrinsics of a frame that has a camera file."""
        path = sample.get('cam_path')
        if not path or not Path(path).is_file():
            return sample
        return dict(sample, cam_intrinsic=read_camera_text(path))

    def _check_first(self, sample: dict) -> None:
        super()._check_first(sample)
        path = sample.get('sparse_path')
        if path and not Path(path).is_file():
            raise FileNotFoundError(
                f'{type(self).__name__}: {path} ({sample["listed_in"]}) does not exist; '
                f'{self.PREPARE_HINT}'
            )
