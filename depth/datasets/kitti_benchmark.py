"""The KITTI depth prediction benchmark."""

from pathlib import Path

from depth.registry import DATASETS

from .cameras import read_camera_text
from .kitti import GROUND_TRUTH_ARCHIVE, SERVER, KITTIDataset
from .published import TOOLBOX_SPLITS, Archive, SplitFile


@DATASETS.register_module()
class KITTIBenchmarkDataset(KITTIDataset):
    """KITTI depth prediction benchmark: outdoor, depth * 256; ground truth up to 88 m counts.

    ::

        data/kitti/
        ├── kitti_benchmark_train.txt    "DATE/DRIVE/image_02/data/N.png DRIVE/.../image_02/N.png" a line, both cameras
        ├── kitti_benchmark_val.txt      6060 lines
        ├── kitti_benchmark_test.txt     500 lines "N.png", without ground truth
        ├── input/DATE/DRIVE/image_02|image_03/data/N.png
        ├── gt_depth/DRIVE/proj_depth/groundtruth/image_02|image_03/N.png
        ├── benchmark_test/N.png         the 500 test images, 1216x352 as published
        └── benchmark_test_cam/N.txt     optional: nine numbers of each test image's camera

    A line with one column is an image without ground truth; its pipeline leaves ``LoadDepth`` out.
    Such a list takes ``data_prefix=dict(img_path='benchmark_test',
    cam_path='benchmark_test_cam')``.

    Reference: Sparsity Invariant CNNs, https://arxiv.org/abs/1708.06500;
    https://www.cvlibs.net/datasets/kitti/eval_depth.php?benchmark=depth_prediction
    """

    METAINFO = dict(dataset_name='kitti_benchmark', min_depth=1e-3, max_depth=88.0)

    SPLIT_FILES = {
        'kitti_benchmark_val.txt': SplitFile(
            6060,
            6060,
            '559a7dd5265e8c46f8c9c800aa23b98b846fe1d05688ed45957a36304c0a6c40',
            f'{TOOLBOX_SPLITS}/kitti_benchmark_val.txt',
        ),
        'kitti_benchmark_test.txt': SplitFile(
            500,
            500,
            '017f6de715d0d9a88ecb9916f28541c7f14dce6d94d4a456bed265f0a78d30d3',
            f'{TOOLBOX_SPLITS}/kitti_benchmark_test.txt',
        ),
    }
    # The benchmark's training list has drives of the Eigen test set: no fault of the list.
    TEST_SET_IS_OWN = False
    PREPARE_NAME = 'kitti_benchmark'
    CONFIGS = ('kitti_benchmark.py', 'kitti_benchmark_test.py')
    ARCHIVES = (
        Archive(
            'data_depth_selection.zip', f'{SERVER}/data_depth_selection.zip', '2 GB', part='test'
        ),
        GROUND_TRUTH_ARCHIVE,
    )
    PARTS = KITTIDataset.PARTS | {'test': 'the 500 test images'}
    DEFAULT_PARTS = ('test', 'depth', 'images')

    def parse_line(self, fields: list[str], where: str) -> dict | None:
        """Return the sample of one line; an image alone may have a camera file but no depth."""
        if len(fields) != 1:
            return super().parse_line(fields, where)
        # The names of the test images, 0000000000.png on, tell neither drive nor day.
        image = Path(self.data_prefix['img_path'], fields[0].lstrip('/'))
        sample = dict(img_path=str(image))
        if self.data_prefix.get('cam_path'):
            sample['cam_path'] = str(Path(self.data_prefix['cam_path'], f'{image.stem}.txt'))
        return sample

    def add_details(self, sample: dict) -> dict:
        """Add the intrinsics of a test image that has a camera file."""
        path = sample.get('cam_path')
        if not path or not Path(path).is_file():
            return sample
        return dict(sample, cam_intrinsic=read_camera_text(path))
