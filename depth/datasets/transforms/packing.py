"""Packing: the last transform of every pipeline."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS
from depth.structures import LABEL_FIELDS, DepthDataSample, check_label_type

META_KEYS = (
    'img_path',
    'depth_path',
    'ori_shape',
    'img_shape',
    'content_box',
    'input_focal',
    'crop_box',
    'frame_shape',
    'gt_filled',
    'label_type',
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

    The data sample holds ``gt_depth``, ``intrinsics``, ``sparse_depth`` if there are points, and
    the meta information. Labels of which ``label_type`` of the sample says that they are relative
    go into ``gt_relative_depth`` or ``gt_relative_inverse_depth``, beside a ``gt_depth`` without
    values; inverse depth in 1/m becomes metres.

    Args:
        meta_keys: Keys that are copied into the meta information, if the sample has them.
        with_normals: Also pack ``normals`` (3, H, W), if the sample has them.
        with_sky: Also pack ``gt_sky`` (H, W), if the sample has it.
        with_planes: Also pack ``gt_planes`` (H, W), if the sample has it.

    Raises:
        ValueError: If ground truth has another size than ``ori_shape``, so that a step changed one
            and not the other, sparse depth another one than the image, or ``label_type`` is
            unknown.
    """

    def __init__(
        self,
        meta_keys: tuple[str, ...] = META_KEYS,
        with_normals: bool = False,
        with_sky: bool = False,
        with_planes: bool = False,
    ) -> None:
        self.meta_keys, self.with_normals = tuple(meta_keys), with_normals
        self.with_sky, self.with_planes = with_sky, with_planes

    def transform(self, results: dict) -> dict:
        """Pack one sample.

        Raises:
            ValueError: If points and image differ in size.
        """
        # As bytes, a quarter of the copy: the data preprocessor makes floats of them on the device.
        inputs = torch.from_numpy(np.ascontiguousarray(results['img'].transpose(2, 0, 1)))
        metainfo = {}
        for key in self.meta_keys:
            if key in results:
                metainfo[key] = _to_plain(results[key])
        sample = DepthDataSample(metainfo=metainfo)
        if 'gt_depth' in results:
            self._check_gt_size(results)
            labels = torch.from_numpy(np.ascontiguousarray(results['gt_depth'], np.float32))
            _set_labels(sample, labels, results.get('label_type', 'metric'))
        if self.with_normals and 'normals' in results:
            normals = results['normals'].transpose(2, 0, 1)  # (3, H, W)
            sample.normals = torch.from_numpy(np.ascontiguousarray(normals, np.float32))
        if self.with_sky and 'gt_sky' in results:
            sample.gt_sky = torch.from_numpy(np.ascontiguousarray(results['gt_sky'], np.uint8))
        if self.with_planes and 'gt_planes' in results:
            planes = np.ascontiguousarray(results['gt_planes'], np.uint8)
            sample.gt_planes = torch.from_numpy(planes)
        if results.get('cam_intrinsic') is not None:
            sample.intrinsics = torch.tensor(
                np.asarray(results['cam_intrinsic']),
                dtype=torch.float32,
            )
        if results.get('sparse_depth') is not None:
            points = results['sparse_depth']
            if points.shape != results['img'].shape[:2]:
                height, width = results['img'].shape[:2]
                raise ValueError(
                    f'PackDepthInputs: sparse_depth of {results.get("img_path", "the sample")} is '
                    f'{points.shape[0]}x{points.shape[1]}, the image {height}x{width}; they must '
                    'be equal'
                )
            sample.sparse_depth = torch.from_numpy(np.ascontiguousarray(points, np.float32))
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


def _set_labels(sample: DepthDataSample, labels: torch.Tensor, label_type: str) -> None:
    """Set the field that labels (H, W) of a type belong to, and ``gt_depth``."""
    check_label_type('PackDepthInputs', label_type)
    if label_type == 'inverse_depth':
        labels = torch.where(labels > 0, 1 / torch.where(labels > 0, labels, 1), 0)
    field = LABEL_FIELDS[label_type]
    sample.gt_depth = labels if field == 'gt_depth' else torch.zeros_like(labels)
    if field != 'gt_depth':
        sample.set_field(labels, field)


def _to_plain(value: object) -> object:
    """Return arrays as lists, because meta information is compared by ``==``."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value
