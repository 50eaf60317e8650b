"""NYU Depth v2 test images as h5 files, for the generalisation test of KITTI models."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform

from depth.datasets import BaseDepthDataset
from depth.datasets.transforms.spatial_keys import crop
from depth.registry import DATASETS, TRANSFORMS

CROP = (44, 40, 427, 561)  # top, left, height, width of the published crop


@DATASETS.register_module()
class NYUH5Dataset(BaseDepthDataset):
    """The 654 official NYU test images as ``data_root/00001.h5`` and so on.

    Each file holds ``rgb`` (3, H, W) and ``depth`` (H, W).

    Args:
        **kwargs: See :class:`~depth.datasets.BaseDepthDataset`; ``ann_file`` is not used.
    """

    METAINFO = dict(dataset_name='nyu_h5', min_depth=0.1, max_depth=10.0)
    PREPARE_HINT = 'it should hold 00001.h5 and so on'

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the files, sorted by name."""
        paths = sorted(Path(self.data_root).glob('*.h5'))
        if not paths:
            raise ValueError(f'{self.data_root} holds no h5 file; {self.PREPARE_HINT}')
        for path in paths:
            yield dict(img_path=str(path)), self.data_root


@TRANSFORMS.register_module()
class LoadNYUH5(BaseTransform):
    """Read image and depth of an h5 file and cut the published crop.

    Raises:
        ValueError: If the file lacks ``rgb`` or ``depth`` of one size.
    """

    def transform(self, results: dict) -> dict:
        """Set ``img``, ``gt_depth`` and the shapes."""
        import h5py

        with h5py.File(results['img_path']) as file:
            if 'rgb' not in file or 'depth' not in file:
                raise ValueError(
                    f'{results["img_path"]} holds {sorted(file)}, expected rgb and depth',
                )
            rgb = np.asarray(file['rgb'])
            depth = np.asarray(file['depth'], np.float32)
        if rgb.ndim != 3 or rgb.shape[1:] != depth.shape:
            raise ValueError(
                f'{results["img_path"]}: rgb is {rgb.shape}, depth {depth.shape}; expected (3, H, '
                'W), (H, W)',
            )
        bgr = rgb.transpose(1, 2, 0)[..., ::-1]  # (H, W, 3)
        results['img'] = np.ascontiguousarray(bgr.astype(np.uint8))
        results['gt_depth'] = depth
        return crop(results, *CROP, 'LoadNYUH5')
