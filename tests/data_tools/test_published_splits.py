"""The published split files parse to the published counts."""

import hashlib

import pytest

from depth.datasets import KITTIBenchmarkDataset, KITTIDataset, NYUDataset, SUNRGBDDataset
from tests.shared import REFERENCE, needs_reference

KITTI = dict(img_path='input', depth_path='gt_depth')


@needs_reference
@pytest.mark.parametrize(
    ('cls', 'name', 'prefix', 'count', 'digest'),
    [
        (NYUDataset, 'nyu_train.txt', {}, 24231, '11dcd508'),
        (NYUDataset, 'nyu_test.txt', {}, 654, 'e92c191d'),
        (KITTIDataset, 'kitti_eigen_train.txt', KITTI, 23158, '3655308e'),
        (KITTIDataset, 'kitti_eigen_test.txt', KITTI, 652, '8d0499af'),
        (KITTIBenchmarkDataset, 'kitti_benchmark_val.txt', KITTI, 6060, '559a7dd5'),
        (
            KITTIBenchmarkDataset,
            'kitti_benchmark_test.txt',
            dict(img_path='benchmark_test'),
            500,
            '017f6de7',
        ),
        (SUNRGBDDataset, 'SUNRGBD_val_splits.txt', {}, 5050, 'a3f59e7f'),
    ],
)
def test_counts(cls, name, prefix, count, digest, tmp_path, monkeypatch):
    path = REFERENCE / 'splits' / name
    # The published file, see its README.
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest)
    monkeypatch.setattr(cls, '_check_first', lambda self, sample: None)  # the images are not here
    dataset = cls(data_root=str(tmp_path), ann_file=str(path), data_prefix=prefix)
    assert len(dataset) == count
    samples = [dataset.get_data_info(index) for index in (0, count - 1)]
    for sample in samples:
        assert sample['img_path'].startswith(str(tmp_path / prefix.get('img_path', '')))
        assert ('depth_path' in sample) == (count != 500)
    if cls is NYUDataset:
        classes = {dataset.get_data_info(index)['scene'] for index in range(count)}
        assert len(classes) == (28 if count == 24231 else 16)
    if cls in (KITTIDataset, KITTIBenchmarkDataset) and count != 500:
        assert all('cam_intrinsic' in sample for sample in samples)
