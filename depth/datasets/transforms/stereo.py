"""Transforms of stereo pairs: loading, camera and packing.

Geometry is that of :mod:`.geometry`, which moves both views together.

Keys of a pair: ``img`` and ``other_img`` (H, W, 3) uint8 BGR; ``cam_intrinsic`` and
``other_cam_intrinsic`` (3, 3); ``stereo_extrinsics`` (4, 4), metres, camera of ``img`` to camera of
``other_img``; ``depth_hint`` (H, W) float32, metres, 0 = no hint; ``clean_img`` and
``clean_other_img`` once the colours were changed. In a rectified pair the extrinsics are the
identity but for ``[0, 3]``: minus the baseline if ``img`` is the left view, plus the baseline if it
is the right one, and the other way round once the pair is mirrored.
"""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .geometry import get_rng
from .loading import LoadDepth, LoadImage, read_depth, read_image
from .packing import META_KEYS, PackDepthInputs
from .spatial_keys import MIRROR, require_unmoved


def stereo_extrinsics(side: str, baseline: float) -> np.ndarray:
    """Return the transform (4, 4), metres, from the camera on ``side`` to the other one.

    ``side`` is ``left`` or ``right``.
    """
    transform = np.eye(4)
    transform[0, 3] = -baseline if side == 'left' else baseline
    return transform


@TRANSFORMS.register_module()
class LoadPair(LoadImage):
    """Read both views of a pair, ``img_path`` and ``other_img_path``.

    Sets the keys of :class:`LoadImage`, ``other_img`` and ``stereo_extrinsics``. The extrinsics
    follow from ``side`` and ``baseline`` of the sample.

    Raises:
        FileNotFoundError, ValueError: If an image cannot be read, or the two differ in size.
    """

    def transform(self, results: dict) -> dict:
        """Read both views.

        Raises:
            ValueError: If the views differ in size.
        """
        require_unmoved(results, 'LoadPair')
        results = super().transform(results)
        if 'other_img' not in results:
            results['other_img'] = read_image(results['other_img_path'])
        if results['other_img'].shape != results['img'].shape:
            raise ValueError(
                f'{results["img_path"]} is {results["img"].shape[:2]} but its other view '
                f'{results["other_img_path"]} is {results["other_img"].shape[:2]}; a rectified '
                'pair has one size',
            )
        if results.get('cam_intrinsic') is not None:
            # Rectified views have one camera unless the data set says otherwise.
            other = results.get('other_cam_intrinsic')
            if other is None:
                other = results['cam_intrinsic']
            results['other_cam_intrinsic'] = np.array(other, np.float64)
        results['stereo_extrinsics'] = stereo_extrinsics(results['side'], results['baseline'])
        return results


@TRANSFORMS.register_module()
class PairFromScene(BaseTransform):
    """Turn a synthetic scene with two views (``stereo=True``) into a pair.

    Args:
        right_prob: Probability that the right view is the one whose depth is predicted.
    """

    def __init__(self, right_prob: float = 0.0) -> None:
        self.right_prob = right_prob

    def transform(self, results: dict) -> dict:
        """Set the pair's keys; drop ``img_right``, ``gt_depth_right``, the left view's labels.

        Raises:
            ValueError: If the scene has no second view.
        """
        if 'img_right' not in results:
            raise ValueError(
                'PairFromScene: the scene has no second view, set stereo=True in the data set',
            )
        other_img, other_depth = results.pop('img_right'), results.pop('gt_depth_right')
        for key in ('normals', 'gt_sky', 'gt_planes'):
            results.pop(key, None)
        results['side'] = 'right' if get_rng(results).rand() < self.right_prob else 'left'
        if results['side'] == 'right':
            other_img, results['img'] = results['img'], other_img
            results['gt_depth'] = other_depth
        results['other_img'] = other_img
        results['other_cam_intrinsic'] = np.array(results['cam_intrinsic'], np.float64)
        extrinsics = stereo_extrinsics(results['side'], results['baseline'])
        # The scene was mirrored before it became a pair.
        if results.get('flip'):
            extrinsics = MIRROR @ extrinsics @ MIRROR
        results['stereo_extrinsics'] = extrinsics
        return results


@TRANSFORMS.register_module()
class LoadDepthHint(BaseTransform):
    """Read a depth hint, npy of shape (h, w) or (1, h, w).

    Reads ``depth_hint_path``, sets ``depth_hint`` (h, w) float32 in metres.

    A hint keeps the size at which it was computed until ``Resize``, and its values: its size says
    nothing about metres.

    Args:
        unit: Metres of a stored 1; published files count in units in which the baseline of 0.54 m
            is 0.1, so 5.4.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no such array, or the image was already mirrored, cropped or rotated.
    """

    def __init__(self, unit: float = 5.4) -> None:
        self.unit = unit

    def transform(self, results: dict) -> dict:
        """Read the hint.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged or holds no map.
        """
        require_unmoved(results, 'LoadDepthHint')
        path = results['depth_hint_path']
        try:
            hint = np.load(path, allow_pickle=False)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'depth hint {path} does not exist; '
                'projects/EPCDepth/tools/precompute_depth_hints.py writes them',
            ) from error
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f'depth hint {path} cannot be read: {error}') from error
        if hint.ndim == 3 and hint.shape[0] == 1:
            hint = hint[0]
        if hint.ndim != 2:
            raise ValueError(f'depth hint {path} has shape {hint.shape}, expected (1, H, W)')
        results['depth_hint'] = hint.astype(np.float32) * np.float32(self.unit)
        return results


@TRANSFORMS.register_module()
class NominalIntrinsics(BaseTransform):
    """Replace the intrinsics by a camera given in shares of the image's size.

    The published KITTI recipes use one camera for all recording days.

    Args:
        fx, fy, cx, cy: Focal lengths and principal point, in widths and heights of the image.
    """

    def __init__(
        self,
        fx: float = 0.58,
        fy: float = 1.92,
        cx: float = 0.5,
        cy: float = 0.5,
    ) -> None:
        self.shares = (fx, fy, cx, cy)

    def transform(self, results: dict) -> dict:
        """Set ``cam_intrinsic`` and ``other_cam_intrinsic``."""
        height, width = results['img'].shape[:2]
        fx, fy, cx, cy = self.shares
        matrix = np.array([[fx * width, 0, cx * width], [0, fy * height, cy * height], [0, 0, 1.0]])
        results.update(cam_intrinsic=matrix, other_cam_intrinsic=matrix.copy())
        return results


@TRANSFORMS.register_module()
class LoadStereoDepth(BaseTransform):
    """Read the ground truth of a pair, if it has any; sets ``gt_depth`` (H, W) in metres.

    Follows :class:`LoadPair` or ``LoadImage`` directly, because a disparity counts pixels of the
    image as it was read. A disparity map (``disparity_path``: npy, npz or tiff, pixels, not finite
    or 0 = none) becomes depth by focal length, ``baseline`` and the difference of the principal
    points; a depth map is read by :class:`LoadDepth`.

    Raises:
        ValueError: If the disparity has another size than the image, or the image was already
            moved.
    """

    needs_ground_truth = True  # inference leaves the transform out

    def transform(self, results: dict) -> dict:
        """Read the depth map or the disparity map."""
        if results.get('depth_path'):
            return LoadDepth().transform(results)
        if results.get('disparity_path'):
            require_unmoved(results, 'LoadStereoDepth')
            results['gt_depth'] = self.depth_from_disparity(results)
        return results

    @staticmethod
    def depth_from_disparity(results: dict) -> np.ndarray:
        """Return depth (H, W) float32 in metres, 0 where there is no disparity.

        Raises:
            ValueError: If disparity and image differ in size.
        """
        disparity = read_depth(results['disparity_path'], 1.0)
        if disparity.shape != results['img'].shape[:2]:
            raise ValueError(
                f'disparity {results["disparity_path"]} is {disparity.shape[0]}x'
                f'{disparity.shape[1]}, its image {results["img"].shape[0]}x'
                f'{results["img"].shape[1]}; they must be equal, so LoadStereoDepth comes in front '
                'of Resize',
            )
        left = np.asarray(results['cam_intrinsic'])
        right = np.asarray(results['other_cam_intrinsic'])
        # Rectified cameras may differ in their principal points, which shifts all disparities.
        shifted = disparity + (right[0, 2] - left[0, 2])
        depth = left[0, 0] * results['baseline'] / np.maximum(shifted, 1e-6)
        return np.where((disparity > 0) & (shifted > 0), depth, 0).astype(np.float32)


@TRANSFORMS.register_module()
class PackStereoInputs(PackDepthInputs):
    """Pack a pair: a sample of :class:`PackDepthInputs` plus both views and the geometry."""

    def __init__(self, meta_keys: tuple[str, ...] = (*META_KEYS, 'side')) -> None:
        super().__init__(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one pair; views that no colour transform copied are their own clean versions."""
        packed = super().transform(results)
        sample = packed['data_samples']
        sample.other_img = _to_tensor(results['other_img'])
        sample.clean_img = _to_tensor(results.get('clean_img', results['img']))
        sample.clean_other_img = _to_tensor(results.get('clean_other_img', results['other_img']))
        sample.stereo_extrinsics = torch.tensor(results['stereo_extrinsics'], dtype=torch.float32)
        sample.other_intrinsics = torch.tensor(results['other_cam_intrinsic'], dtype=torch.float32)
        if 'depth_hint' in results:
            sample.depth_hint = torch.from_numpy(
                np.ascontiguousarray(results['depth_hint'], np.float32),
            )
        return packed


def _to_tensor(img: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1)))
