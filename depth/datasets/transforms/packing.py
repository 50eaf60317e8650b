"""Packing: the last transform of every pipeline."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS
from depth.structures import DepthDataSample

META_KEYS = (
    'img_path',
    'depth_path',
    'ori_shape',
    'img_shape',
    'crop_box',
    'frame_shape',
    'gt_filled',
    'ori_cam_intrinsic',
    'flip',
    'dataset',
    'min_depth',
    'max_depth',
    'sample_idx',
    'scene',
    'scene_class',
)


@TRANSFORMS.register_module()
class PackDepthInputs(BaseTransform):
    """Pack a sample as ``inputs`` (3, H, W) uint8 BGR and a :class:`DepthDataSample`.

    The data sample holds ``gt_depth``, ``intrinsics`` and the meta information.

    Args:
        meta_keys: Keys that are copied into the meta information, if the sample has them.
        with_normals: Also pack ``normals`` (3, H, W), if the sample has them.

    Raises:
        ValueError: If ground truth has another size than ``ori_shape``, so that a step changed one
            and not the other.
    """

    def __init__(self, meta_keys: tuple[str, ...] = META_KEYS, with_normals: bool = False) -> None:
        self.meta_keys, self.with_normals = tuple(meta_keys), with_normals

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        # As bytes, a quarter of the copy: the data preprocessor makes floats of them on the device.
        inputs = torch.from_numpy(np.ascontiguousarray(results['img'].transpose(2, 0, 1)))
        metainfo = {}
        for key in self.meta_keys:
            if key in results:
                metainfo[key] = _to_plain(results[key])
        sample = DepthDataSample(metainfo=metainfo)
        if 'gt_depth' in results:
            self._check_gt_size(results)
            sample.gt_depth = torch.from_numpy(
                np.ascontiguousarray(results['gt_depth'], np.float32),
            )
        if self.with_normals and 'normals' in results:
            normals = results['normals'].transpose(2, 0, 1)  # (3, H, W)
            sample.normals = torch.from_numpy(np.ascontiguousarray(normals, np.float32))
        if results.get('cam_intrinsic') is not None:
            sample.intrinsics = torch.tensor(
                np.asarray(results['cam_intrinsic']),
                dtype=torch.float32,
            )
        return dict(inputs=inputs, data_samples=sample)

    @staticmethod
    def _check_gt_size(results: dict) -> None:
        shape = tuple(results['gt_depth'].shape)
        expected = tuple(results.get('ori_shape', shape))
        if shape != expected:
            raise ValueError(
                f'PackDepthInputs: gt_depth of {results.get("img_path", "the sample")} is '
                f'{shape[0]}x{shape[1]}, expected {expected[0]}x{expected[1]} (ori_shape); a step '
                'of the pipeline moved one without the other, use the transforms of '
                'depth.datasets.transforms',
            )


def _to_plain(value: object) -> object:
    """Return arrays as lists, because meta information is compared by ``==``."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value
