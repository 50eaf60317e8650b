"""Depth shown to the network in a strip of the image."""

import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .random import get_rng


@TRANSFORMS.register_module()
class DepthStripMix(BaseTransform):
    """Overwrite a full-height strip of the image by the depth file's values; reads ``gt_depth``, modifies ``img``.

    The image has 8 bits, so the stored integers wrap around 256, as published.

    Args:
        prob: Share of images that are changed.
        largest: Largest share of what is right of the strip's start that it may take.

    Raises:
        ValueError: If ground truth has another size than the image.

    Reference: Global-Local Path Networks, https://arxiv.org/abs/2201.07436 (vertical CutDepth)
    """

    def __init__(self, prob: float = 0.25, largest: float = 0.75) -> None:
        self.prob, self.largest = prob, largest

    def transform(self, results: dict) -> dict:
        """Draw, and overwrite the strip in all channels."""
        rng = get_rng(results)
        shape, depth_shape = results['img'].shape[:2], results['gt_depth'].shape
        if shape != depth_shape:
            raise ValueError(
                f'DepthStripMix: gt_depth is {depth_shape[0]}x{depth_shape[1]}, the image {shape[0]}x{shape[1]}; put '
                'it in front of a Resize with resize_depth=False'
            )
        if rng.rand() < self.prob:
            width = results['img'].shape[1]
            left = int(rng.rand() * width)
            strip = slice(left, left + max(int((width - left) * rng.rand() * self.largest), 1))
            stored = np.rint(results['gt_depth'][:, strip] * results['depth_scale']).astype(np.int64) % 256
            results['img'] = results['img'].copy()
            results['img'][:, strip] = stored[..., None].astype(np.uint8)
        return results
