"""Resizes to the input size of published networks, and to the focal length of a canonical camera.

Sides are multiples of a patch where a network needs it. The rounding and the interpolation are
those of the published inference code, because predictions depend on both. The size itself is an
argument: it is a setting of a test, not of the weights.
"""

import math

import numpy as np
from mmcv.transforms import BaseTransform

from depth.cameras import check_camera, missing_camera
from depth.registry import TRANSFORMS

from .spatial_keys import image_shape, resize

SIDES = ('long', 'short')


@TRANSFORMS.register_module()
class ResizeShortSide(BaseTransform):
    """Resize the short side to about ``size`` pixels, both sides to multiples, cubic.

    The image becomes float32 and keeps fractions and overshoots of the interpolation, so the data
    preprocessor needs ``float_images=True``.

    Args:
        size: Pixels of the short side; the result is at least as long. Each side is rounded to the
            nearest multiple, half to even, and up where it would be shorter than ``size``.
        multiple: Divisor of both sides.
        resize_depth: Resize ground truth too, to the nearest pixel. Test pipelines say False.

    Raises:
        ValueError: If ``size`` or ``multiple`` is not a positive whole number.

    Reference: Depth Anything V2, https://arxiv.org/abs/2406.09414 (``infer_image``); the rule is
    MiDaS's "lower bound".
    """

    def __init__(self, size: int = 518, multiple: int = 14, resize_depth: bool = True) -> None:
        self.size = _positive('ResizeShortSide.size', size)
        self.multiple = _positive('ResizeShortSide.multiple', multiple)
        self.resize_depth = resize_depth

    def transform(self, results: dict) -> dict:
        """Resize the sample; ``img`` becomes float32. Sets ``img_shape`` and ``ori_shape``."""
        height, width = image_shape(results, 'ResizeShortSide')
        scale = max(self.size / height, self.size / width)
        new_size = (self._round(scale * height), self._round(scale * width))
        results['img'] = results['img'].astype(np.float32)
        return resize(results, new_size, 'ResizeShortSide', 'cubic', self.resize_depth)

    def _round(self, length: float) -> int:
        # Python rounds half to even, as NumPy does in the published code.
        rounded = round(length / self.multiple) * self.multiple
        if rounded < self.size:
            rounded = math.ceil(length / self.multiple) * self.multiple
        return rounded


@TRANSFORMS.register_module()
class ResizeThenSnap(BaseTransform):
    """Resize one side to ``size`` pixels, then both sides to the nearest multiple: two resizes.

    Both keep uint8 and interpolate cubically where the image grows and by area where it shrinks.

    Args:
        size: Pixels of the chosen side.
        side: ``'long'`` (the published default, "upper bound") or ``'short'`` ("lower bound").
        multiple: Divisor of both sides; a tie goes up.
        resize_depth: Resize ground truth too, to the nearest pixel. Test pipelines say False.

    Raises:
        ValueError: If ``size`` or ``multiple`` is not a positive whole number, or ``side`` is
            unknown.

    Reference: Depth Anything 3, https://arxiv.org/abs/2511.10647 (``InputProcessor``).
    """

    def __init__(
        self, size: int = 504, side: str = 'long', multiple: int = 14, resize_depth: bool = True
    ) -> None:
        if side not in SIDES:
            raise ValueError(f'ResizeThenSnap.side is one of {", ".join(SIDES)}, got {side!r}')
        self.size = _positive('ResizeThenSnap.size', size)
        self.multiple = _positive('ResizeThenSnap.multiple', multiple)
        self.side = side
        self.resize_depth = resize_depth

    def transform(self, results: dict) -> dict:
        """Resize the sample; sets ``img_shape`` and ``ori_shape``."""
        shape = image_shape(results, 'ResizeThenSnap')
        scale = self.size / (max(shape) if self.side == 'long' else min(shape))
        if scale != 1:
            size = tuple(max(round(length * scale), 1) for length in shape)
            interpolation = 'cubic' if scale > 1 else 'area'
            resize(results, size, 'ResizeThenSnap', interpolation, self.resize_depth)
            shape = size
        snapped = tuple(self._nearest_multiple(length) for length in shape)
        grows = snapped[0] > shape[0] or snapped[1] > shape[1]
        # Also where nothing changes: the sizes of the sample are set here.
        return resize(
            results, snapped, 'ResizeThenSnap', 'cubic' if grows else 'area', self.resize_depth
        )

    def _nearest_multiple(self, length: int) -> int:
        return max((2 * length + self.multiple) // (2 * self.multiple), 1) * self.multiple


@TRANSFORMS.register_module()
class ResizeToFocal(BaseTransform):
    """Resize images so that their focal length is that of a canonical camera; depth stays metres.

    Images of all cameras then look as if one camera had taken them, with wider and narrower views.
    Both sides are scaled by themselves, so that pixels become square, and rounded. The sizes of a
    batch differ unless a crop follows.

    Args:
        focal: Focal length of the canonical camera in pixels, for fx and fy.
        multiple: Divisor of both sides.
        resize_depth: Resize ground truth too, to the nearest pixel. Test pipelines say False.

    Raises:
        ValueError: If ``focal`` or ``multiple`` is impossible; in ``transform`` if an image has no
            camera, or an impossible one.

    Reference: Metric3D, https://arxiv.org/abs/2307.10984 ("CSTM_image").
    """

    def __init__(self, focal: float, multiple: int = 1, resize_depth: bool = True) -> None:
        if not 0 < focal < math.inf:
            raise ValueError(f'ResizeToFocal.focal is a number of pixels above 0, got {focal}')
        self.focal = float(focal)
        self.multiple = _positive('ResizeToFocal.multiple', multiple)
        self.resize_depth = resize_depth

    def transform(self, results: dict) -> dict:
        """Resize the sample; sets ``img_shape`` and ``ori_shape``.

        Raises:
            ValueError: If the sample has no camera, or an impossible one.
        """
        height, width = image_shape(results, 'ResizeToFocal')
        name = str(results.get('img_path', 'the image'))
        if results.get('cam_intrinsic') is None:
            raise ValueError(missing_camera(name))
        camera = check_camera(results['cam_intrinsic'], f'{name}: intrinsics', (height, width))
        size = (
            self._round(height * self.focal / camera[1, 1]),
            self._round(width * self.focal / camera[0, 0]),
        )
        # Bilinear interpolation leaves pixels out where an image shrinks by much.
        interpolation = 'area' if size[0] < height else 'bilinear'
        return resize(results, size, 'ResizeToFocal', interpolation, self.resize_depth)

    def _round(self, length: float) -> int:
        return max(round(length / self.multiple), 1) * self.multiple


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f'{name} is a whole number of at least 1, got {value!r}')
    return value
