"""Geometric transforms; image, depth and intrinsics always move together.

Pixel centres are at whole numbers. Depth is never interpolated: it is nearest in rotations and resizes.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .random import get_rng


def apply_affine(results: dict, matrix: np.ndarray, keys: Sequence[str] = ('cam_intrinsic',)) -> None:
    """Move the intrinsics under ``keys`` by an affine map (3, 3) of pixel coordinates."""
    for key in keys:
        if results.get(key) is not None:
            results[key] = matrix @ np.asarray(results[key], np.float64)


def crop(results: dict, top: int, left: int, height: int, width: int) -> dict:
    """Cut a window out of everything in place; the crop becomes the image (``ori_shape``).

    The windows are views: the next step that writes pixels, packing at the latest, copies what is left.
    """
    for key in results.keys() & {'img', 'gt_depth', 'img_right', 'normals'}:
        results[key] = results[key][top : top + height, left : left + width]
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    apply_affine(results, shift, ('cam_intrinsic', 'ori_cam_intrinsic'))
    outer_top, outer_left = results.get('crop_box', (0, 0, 0, 0))[:2]
    shape = results['img'].shape[:2]
    results.update(img_shape=shape, ori_shape=shape, crop_box=(outer_top + top, outer_left + left, *shape))
    return results


@TRANSFORMS.register_module()
class KBCrop(BaseTransform):
    """Cut the window of the KITTI benchmark: the bottom rows, the central columns.

    Args:
        height: Rows.
        width: Columns.

    Raises:
        ValueError: If the image is smaller.
    """

    def __init__(self, height: int = 352, width: int = 1216) -> None:
        self.height, self.width = height, width

    def transform(self, results: dict) -> dict:
        """Crop image, depth and intrinsics."""
        height, width = results['img'].shape[:2]
        top, left = height - self.height, (width - self.width) // 2
        if top < 0 or left < 0:
            raise ValueError(
                f'{results.get("img_path", "the image")} is {height}x{width}, smaller than the KB crop '
                f'{self.height}x{self.width}; use a pipeline without KBCrop for it'
            )
        return crop(results, top, left, self.height, self.width)


@TRANSFORMS.register_module()
class NYUCrop(BaseTransform):
    """Cut the white border off an NYU Depth v2 frame: rows 45 to 471, columns 43 to 607.

    Raises:
        ValueError: If the frame is not 480x640.
    """

    def transform(self, results: dict) -> dict:
        """Crop image, depth and intrinsics."""
        if results['img'].shape[:2] != (480, 640):
            raise ValueError(
                f'{results.get("img_path", "the image")} is {results["img"].shape[:2]}, NYUCrop is defined for '
                '480x640 frames only'
            )
        return crop(results, 45, 43, 427, 565)


@TRANSFORMS.register_module()
class RandomCrop(BaseTransform):
    """Cut a window at a random place; an image smaller than the window is kept whole along that axis.

    Args:
        crop_size: (height, width) in pixels.
    """

    def __init__(self, crop_size: Sequence[int]) -> None:
        self.crop_size = tuple(crop_size)

    def transform(self, results: dict) -> dict:
        """Crop image, depth and intrinsics."""
        rng = get_rng(results)
        height, width = results['img'].shape[:2]
        top = rng.randint(0, max(height - self.crop_size[0], 0) + 1)
        left = rng.randint(0, max(width - self.crop_size[1], 0) + 1)
        return crop(results, top, left, *self.crop_size)


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Mirror left and right with a probability; normals turn with the image.

    Args:
        prob: Probability.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirror image, depth and intrinsics; sets ``flip``."""
        results['flip'] = bool(get_rng(results).rand() < self.prob)
        if not results['flip']:
            return results
        for key in results.keys() & {'img', 'gt_depth', 'normals'}:
            results[key] = cv2.flip(results[key], 1)  # ten times faster than copying a reversed view
        if 'normals' in results:
            results['normals'][..., 0] *= -1
        for key in ('cam_intrinsic', 'ori_cam_intrinsic'):
            if results.get(key) is not None:  # only the principal point moves: a mirrored camera keeps fx > 0
                matrix = np.array(results[key], np.float64)
                matrix[0, 2] = results['img'].shape[1] - 1 - matrix[0, 2]
                results[key] = matrix
        return results


@TRANSFORMS.register_module()
class RandomRotate(BaseTransform):
    """Rotate about the image's middle with a probability; the border is filled with black and "no ground truth".

    Normals turn with the camera.

    A rotation in the image is a roll of the camera about its axis, which leaves depth as it is. The principal point
    turns with the image; the focal lengths stay, which is exact for fx = fy (0.1 % off for NYU's).

    Args:
        prob: Probability.
        degree: Largest angle, or (smallest, largest), in degrees; positive is clockwise.
    """

    def __init__(self, prob: float = 0.5, degree: float | Sequence[float] = 2.5) -> None:
        self.prob = prob
        self.degree = (-degree, degree) if isinstance(degree, int | float) else tuple(degree)

    def transform(self, results: dict) -> dict:
        """Rotate image (bilinear), depth (nearest) and principal point."""
        rng = get_rng(results)
        rotate, angle = rng.rand() < self.prob, rng.uniform(*self.degree)  # the angle is drawn either way
        return self.rotate(results, angle) if rotate else results

    @staticmethod
    def rotate(results: dict, angle: float) -> dict:
        """Rotate by ``angle`` degrees, clockwise."""
        height, width = results['img'].shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) * 0.5, (height - 1) * 0.5), -angle, 1.0)
        if 'img' in results:
            results['img'] = _warp_image(results['img'], matrix)
        for key in results.keys() & {'gt_depth', 'normals'}:
            results[key] = cv2.warpAffine(results[key], matrix, (width, height), flags=cv2.INTER_NEAREST)
        if 'normals' in results:
            results['normals'][..., :2] = results['normals'][..., :2] @ matrix[:, :2].T
        for key in ('cam_intrinsic', 'ori_cam_intrinsic'):
            if results.get(key) is not None:
                intrinsic = np.array(results[key], np.float64)
                intrinsic[:2, 2] = matrix @ [*intrinsic[:2, 2], 1.0]
                results[key] = intrinsic
        return results


def _warp_image(img: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Move an image (H, W, 3), bilinear, black outside; with a fourth channel OpenCV is twice as fast."""
    size = img.shape[1::-1]
    padded = cv2.cvtColor(img, cv2.COLOR_BGR2BGRA)
    return cv2.cvtColor(cv2.warpAffine(padded, matrix, size, flags=cv2.INTER_LINEAR), cv2.COLOR_BGRA2BGR)


@TRANSFORMS.register_module()
class Resize(BaseTransform):
    """Resize the image bilinearly.

    Args:
        scale: (width, height) in pixels, as in OpenMMLab.
        keep_ratio: Take the largest size of the same shape whose long and short edges fit into those of ``scale``.
        resize_depth: Resize ground truth too (nearest). Test pipelines say False: predictions are brought back to
            ``ori_shape`` and scored there.
    """

    def __init__(self, scale: Sequence[int], keep_ratio: bool = False, resize_depth: bool = True) -> None:
        self.scale = tuple(scale)
        self.keep_ratio = keep_ratio
        self.resize_depth = resize_depth

    def transform(self, results: dict) -> dict:
        """Resize image and intrinsics, and ground truth if asked to; sets ``img_shape``."""
        height, width = results['img'].shape[:2]
        new_width, new_height = self._new_size(width, height)
        results['img'] = cv2.resize(results['img'], (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        sx, sy = new_width / width, new_height / height
        # Pixel areas are scaled, so a centre at x goes to (x + 0.5) * s - 0.5.
        matrix = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
        apply_affine(results, matrix)
        results['img_shape'] = (new_height, new_width)
        if self.resize_depth and 'gt_depth' in results:
            size = (new_width, new_height)
            for key in results.keys() & {'gt_depth', 'normals'}:
                results[key] = cv2.resize(results[key], size, interpolation=cv2.INTER_NEAREST)
            apply_affine(results, matrix, ('ori_cam_intrinsic',))
            results['ori_shape'] = (new_height, new_width)
        return results

    def _new_size(self, width: int, height: int) -> tuple[int, int]:
        if not self.keep_ratio:
            return self.scale
        factor = min(max(self.scale) / max(width, height), min(self.scale) / min(width, height))
        return int(width * factor + 0.5), int(height * factor + 0.5)
