"""Loading of labels of the sky."""

from collections.abc import Mapping

import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .loading import read_stored
from .spatial_keys import require_unmoved


@TRANSFORMS.register_module()
class LoadSky(BaseTransform):
    """Read where the sky is, from a mask or from the depth map; follows ``LoadDepth``.

    Sets ``gt_sky`` (H, W) uint8, 1 = sky. What is neither sky nor has depth is not known.

    Args:
        value: Stored value of the sky, such as 65535 in the depth maps of Virtual KITTI 2; None
            counts every value but 0.
        replace: What to replace in ``img_path`` to get the path of a mask, applied in order;
            without it the file at ``depth_path`` is read.

    Raises:
        ValueError: If neither a value nor the place of a mask is given, if the file has another
            size than the image or more than one channel, or if the image was already mirrored,
            cropped or rotated.
        FileNotFoundError: If the file is missing.
    """

    needs_ground_truth = True  # inference leaves the transform out

    def __init__(self, value: int | None = None, replace: Mapping[str, str] | None = None) -> None:
        if value is None and not replace:
            raise ValueError(
                'LoadSky: give value, which the depth maps store for the sky, or replace, which '
                'turns the path of an image into that of its mask'
            )
        self.value, self.replace = value, dict(replace or {})

    def transform(self, results: dict) -> dict:
        """Read and check the file.

        Raises:
            ValueError: If the mask has several channels or another size than the image.
        """
        if 'gt_sky' in results:
            return results
        require_unmoved(results, 'LoadSky')
        path = results['img_path'] if self.replace else results['depth_path']
        for old, new in self.replace.items():
            path = path.replace(old, new)
        stored = read_stored(path)
        if stored.shape != tuple(results['img'].shape[:2]):
            raise ValueError(
                f'LoadSky: {path} has shape {stored.shape}, expected one channel of the size '
                f'{tuple(results["img"].shape[:2])} of {results["img_path"]}'
            )
        is_sky = stored != 0 if self.value is None else stored == self.value
        results['gt_sky'] = is_sky.astype(np.uint8)
        return results
