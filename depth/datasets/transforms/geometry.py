"""Geometric transforms: crops, flip, rotation and resize of all maps and cameras of a sample.

:mod:`.spatial_keys` lists those keys and changes them. Depth is never interpolated: rotations and
resizes take the nearest pixel.
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .spatial_keys import INTERPOLATIONS, crop, flip, image_shape, pad, resize, rotate


def get_rng(results: dict) -> np.random.RandomState:
    """Return the random generator of a sample, for all transforms that draw.

    The data set seeds it by the sample's index, so augmentation depends neither on the number of
    loader workers nor on a resume.
    """
    # Not setdefault: making a generator takes longer than most transforms.
    if 'rng' not in results:
        results['rng'] = np.random.RandomState()
    return results['rng']


def _checked_size(name: str, size: Sequence[int], order: str) -> tuple[int, int]:
    """Return a size as two positive whole numbers; the argument's name goes into the error."""
    values = (size,)
    if isinstance(size, Sequence) and not isinstance(size, str):
        values = tuple(size)
    if len(values) != 2 or not all(isinstance(value, Integral) and value > 0 for value in values):
        raise ValueError(f'{name} is {order}, two whole numbers of at least 1, got {size!r}')
    return values


@TRANSFORMS.register_module()
class KBCrop(BaseTransform):
    """Cut the window of the KITTI benchmark: bottom rows, central columns.

    Args:
        height: Rows of the window.
        width: Columns of the window.

    Raises:
        ValueError: If the image is smaller than the window.
    """

    def __init__(self, height: int = 352, width: int = 1216) -> None:
        self.height, self.width = _checked_size('KBCrop', (height, width), '(height, width)')

    def transform(self, results: dict) -> dict:
        """Crop all maps and shift the cameras.

        Raises:
            ValueError: If the image is smaller than the crop.
        """
        height, width = image_shape(results, 'KBCrop')
        # At the bottom, because the laser does not reach the upper rows of a frame.
        top, left = height - self.height, (width - self.width) // 2
        if top < 0 or left < 0:
            raise ValueError(
                f'{results.get("img_path", "the image")} is {height}x{width}, smaller than the KB '
                f'crop {self.height}x{self.width}; use a pipeline without KBCrop for it',
            )
        return crop(results, top, left, self.height, self.width, 'KBCrop')


@TRANSFORMS.register_module()
class NYUCrop(BaseTransform):
    """Cut the white border off an NYU Depth v2 frame: rows 45 to 471, columns 43 to 607.

    Raises:
        ValueError: If the frame is not 480x640.
    """

    def transform(self, results: dict) -> dict:
        """Crop all maps and shift the cameras.

        Raises:
            ValueError: If the image is no frame of 480x640 pixels.
        """
        height, width = image_shape(results, 'NYUCrop')
        if (height, width) != (480, 640):
            raise ValueError(
                f'{results.get("img_path", "the image")} is {height}x{width}, NYUCrop is defined '
                'for 480x640 frames only',
            )
        return crop(results, 45, 43, 427, 565, 'NYUCrop')


@TRANSFORMS.register_module()
class CenterCrop(BaseTransform):
    """Cut a window of fixed size out of the middle of the image.

    Args:
        height: Rows of the window.
        width: Columns of the window.

    Raises:
        ValueError: If the image is smaller than the window.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = _checked_size('CenterCrop', (height, width), '(height, width)')

    def transform(self, results: dict) -> dict:
        """Crop all maps and shift the cameras.

        Raises:
            ValueError: If the image is smaller than the window.
        """
        height, width = image_shape(results, 'CenterCrop')
        if height < self.height or width < self.width:
            raise ValueError(
                f'{results.get("img_path", "the image")} is {height}x{width}, smaller than the '
                f'window of CenterCrop, {self.height}x{self.width}'
            )
        top, left = (height - self.height) // 2, (width - self.width) // 2
        return crop(results, top, left, self.height, self.width, 'CenterCrop')


@TRANSFORMS.register_module()
class RandomCrop(BaseTransform):
    """Cut a window at a random position; an axis shorter than the window stays whole.

    Args:
        crop_size: (height, width) in pixels.

    Raises:
        ValueError: If the size is not two positive numbers, or a map in the sample has another size
            than the image.
    """

    def __init__(self, crop_size: Sequence[int]) -> None:
        self.crop_size = _checked_size('RandomCrop.crop_size', crop_size, '(height, width)')

    def transform(self, results: dict) -> dict:
        """Crop all maps and shift the cameras."""
        rng = get_rng(results)
        height, width = image_shape(results, 'RandomCrop')
        top = rng.randint(0, max(height - self.crop_size[0], 0) + 1)
        left = rng.randint(0, max(width - self.crop_size[1], 0) + 1)
        return crop(results, top, left, *self.crop_size, 'RandomCrop')


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Mirror left and right with a probability.

    The views of a pair keep their roles, so the other camera changes sides; normals are mirrored
    too.

    Args:
        prob: Probability of the flip.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirror all maps and cameras; sets ``flip``."""
        draws_flip = bool(get_rng(results).rand() < self.prob)
        # Mirrored twice is not mirrored.
        results['flip'] = draws_flip != results.get('flip', False)
        if not draws_flip:
            return results
        return flip(results, 'RandomFlip')


@TRANSFORMS.register_module()
class RandomRotate(BaseTransform):
    """Rotate about the image's centre with a probability; the border has no ground truth.

    A rotation in the image is a roll of the camera about its axis, which leaves depth as it is.
    Normals and the pose of another view turn with the camera. The principal point turns with the
    image; the focal lengths stay, which is exact for fx = fy (0.1 % off for NYU's). Pixels that are
    not square, behind a resize that keeps no ratio, are rotated as such.

    Args:
        prob: Probability of the rotation.
        degree: Largest angle, or (smallest, largest), in degrees; positive is clockwise.
    """

    def __init__(self, prob: float = 0.5, degree: float | Sequence[float] = 2.5) -> None:
        self.prob = prob
        self.degree = (-degree, degree) if isinstance(degree, int | float) else tuple(degree)

    def transform(self, results: dict) -> dict:
        """Draw an angle; rotate all maps and cameras."""
        rng = get_rng(results)
        draws_rotation = rng.rand() < self.prob
        # The angle is drawn either way, so that the numbers of later transforms do not depend on
        # it.
        angle = rng.uniform(*self.degree)
        if not draws_rotation:
            return results
        return self.rotate(results, angle)

    @staticmethod
    def rotate(results: dict, angle: float) -> dict:
        """Rotate a sample by ``angle`` degrees, clockwise."""
        return rotate(results, angle, 'RandomRotate')


@TRANSFORMS.register_module()
class Resize(BaseTransform):
    """Resize images, and ground truth to the nearest pixel.

    Args:
        scale: (width, height) in pixels, as in OpenMMLab.
        keep_ratio: Take the largest size of the same shape whose long and short edges fit into
            those of ``scale``.
        resize_depth: Resize ground truth too. Test pipelines say False: predictions are brought
            back to ``ori_shape`` and scored there.
        interpolation: Of images: ``'bilinear'``, or ``'lanczos'`` (antialiased), which the
            self-supervised methods use.

    Raises:
        ValueError: If the scale is not two positive numbers, or the interpolation is unknown.
    """

    def __init__(
        self,
        scale: Sequence[int],
        keep_ratio: bool = False,
        resize_depth: bool = True,
        interpolation: str = 'bilinear',
    ) -> None:
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f'Resize.interpolation is one of {", ".join(INTERPOLATIONS)}, got '
                f'{interpolation!r}',
            )
        self.scale = _checked_size('Resize.scale', scale, '(width, height)')
        self.keep_ratio = keep_ratio
        self.resize_depth = resize_depth
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        """Resize the sample; sets ``img_shape`` and ``ori_shape``."""
        height, width = image_shape(results, 'Resize')
        new_width, new_height = self._new_size(width, height)
        return resize(
            results,
            (new_height, new_width),
            'Resize',
            self.interpolation,
            self.resize_depth,
        )

    def _new_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the resized image."""
        if not self.keep_ratio:
            return self.scale
        long_factor = max(self.scale) / max(width, height)
        short_factor = min(self.scale) / min(width, height)
        factor = min(long_factor, short_factor)
        # mmcv's rounding: half a pixel goes up.
        return max(int(width * factor + 0.5), 1), max(int(height * factor + 0.5), 1)


@TRANSFORMS.register_module()
class RandomScale(BaseTransform):
    """Enlarge or shrink images and ground truth by a random factor, with a probability.

    Depth in metres stays; the focal lengths grow with the image.

    Args:
        prob: Probability of the resize.
        ratio_range: Smallest and largest factor.

    Raises:
        ValueError: If the range is empty or touches zero.
    """

    def __init__(self, prob: float = 0.5, ratio_range: Sequence[float] = (0.85, 1.15)) -> None:
        if len(ratio_range) != 2 or not 0 < ratio_range[0] <= ratio_range[1]:
            raise ValueError(
                'RandomScale.ratio_range is (smallest, largest) factor above 0, got '
                f'{tuple(ratio_range)}'
            )
        self.prob, self.ratio_range = prob, tuple(ratio_range)

    def transform(self, results: dict) -> dict:
        """Draw a factor; resize all maps and cameras."""
        rng = get_rng(results)
        draws_resize = rng.rand() < self.prob
        ratio = rng.uniform(*self.ratio_range)
        if not draws_resize:
            return results
        height, width = image_shape(results, 'RandomScale')
        size = (max(round(height * ratio), 1), max(round(width * ratio), 1))
        return resize(results, size, 'RandomScale')


@TRANSFORMS.register_module()
class FitToCanvas(BaseTransform):
    """Resize an image into a canvas of fixed size, keeping its shape, and pad it on all sides.

    The rule of Metric3D: the factor s is the largest that fits, sizes are rounded down, the image
    is centred. For test pipelines: ground truth is not resized, and predictions are brought back to
    its size. Transforms behind it may not move the image any more.

    Sets ``content_box`` (top, left, height, width), the image's place in the canvas, and, where the
    camera is known, ``input_focal``: the mean of fx and fy times s, without the rounding.

    Args:
        size: (height, width) of the canvas in pixels.
        pad_value: Colour of the border, BGR; by default the mean of ImageNet as bytes.

    Raises:
        ValueError: If the size is not two positive whole numbers.

    Reference: Metric3D, https://arxiv.org/abs/2307.10984
    """

    def __init__(
        self,
        size: Sequence[int] = (616, 1064),
        pad_value: Sequence[int] = (104, 116, 124),
    ) -> None:
        self.size = _checked_size('FitToCanvas.size', size, '(height, width)')
        self.pad_value = tuple(pad_value)

    def transform(self, results: dict) -> dict:
        """Resize and pad the image, and move its camera along."""
        shape = image_shape(results, 'FitToCanvas')
        factor = min(self.size[0] / shape[0], self.size[1] / shape[1])
        height = max(int(shape[0] * factor), 1)
        width = max(int(shape[1] * factor), 1)
        camera = results.get('cam_intrinsic')
        if camera is not None:
            camera = np.asarray(camera, np.float64)
            results['input_focal'] = float((camera[0, 0] + camera[1, 1]) / 2 * factor)
        results = resize(results, (height, width), 'FitToCanvas', with_ground_truth=False)
        rows, columns = self.size[0] - height, self.size[1] - width
        top, left = rows // 2, columns // 2
        borders = (top, rows - top, left, columns - left)
        return pad(results, borders, self.pad_value, 'FitToCanvas')


# Class names of earlier versions, which the configs inside older checkpoints contain.
TRANSFORMS.register_module('RandomFlipPair', module=RandomFlip)
TRANSFORMS.register_module('CropPair', module=RandomCrop)


@TRANSFORMS.register_module('ResizePair')
def _resize_pair(scale: Sequence[int]) -> Resize:
    return Resize(scale, resize_depth=False, interpolation='lanczos')
