"""Ground truth from the laser scan of a KITTI raw frame."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from depth.datasets.velodyne import project_velodyne, resize_nearest, velodyne_to_image
from depth.registry import TRANSFORMS

from .spatial_keys import place_ground_truth, require_unmoved


@TRANSFORMS.register_module()
class LoadVelodyneDepth(BaseTransform):
    """Project ``velodyne_path`` into the image; sets ``gt_depth``, ``ori_shape`` and ``ori_cam_intrinsic``.

    Args:
        depth_axis: ``'forward'`` as published for self-supervised methods, ``'camera'`` for depth along the camera's
            axis, see :func:`~depth.datasets.velodyne.project_velodyne`.
        size: (height, width) to which the map is brought (nearest) and at which predictions are scored; published
            evaluations use 375x1242 for all days. None keeps the camera's, which the calibration states.

    Raises:
        FileNotFoundError: If the scan is missing.
        ValueError: If the image was already mirrored, cropped or rotated.
    """

    needs_ground_truth = True  # inference leaves the transform out

    def __init__(self, depth_axis: str = 'forward', size: Sequence[int] | None = (375, 1242)) -> None:
        if depth_axis not in ('camera', 'forward'):
            raise ValueError(f"LoadVelodyneDepth: depth_axis is 'camera' or 'forward', got {depth_axis!r}")
        self.depth_axis = depth_axis
        self.size = None if size is None else tuple(size)

    def transform(self, results: dict) -> dict:
        """Project the scan."""
        require_unmoved(results, 'LoadVelodyneDepth')
        try:
            points = np.fromfile(results['velodyne_path'], np.float32).reshape(-1, 4)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'laser scan {results["velodyne_path"]} does not exist (listed in {results.get("listed_in")}); '
                'it is part of the synced KITTI raw archives'
            ) from error
        camera = 2 if results['side'] == 'left' else 3
        projection, size = velodyne_to_image(results['calib_dir'], camera)
        depth = project_velodyne(points, projection, size, self.depth_axis)
        if self.size is not None:
            depth = resize_nearest(depth, self.size)
        return place_ground_truth(results, depth)
