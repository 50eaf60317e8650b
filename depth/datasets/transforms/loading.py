"""Loading of images and ground truth: files, checks of their content, and the transforms.

A data set with files of its own format names a reader in its samples: ``img_reader`` or
``depth_reader``, the name of a function in the ``READERS`` registry. It takes the sample and
returns BGR uint8 (H, W, 3), or depth as float32 metres (H, W) with 0 = no ground truth. Without one
:func:`read_image` and :func:`read_depth` read the paths.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from depth.array_files import NUMPY_ERRORS, load_array
from depth.datasets.velodyne import project_velodyne, resize_nearest, velodyne_to_image
from depth.registry import READERS, TRANSFORMS

from ..jpeg import entropy_error, exif_orientation, is_jpeg, looks_damaged, structure_error
from .spatial_keys import place_ground_truth, require_unmoved

# Names of the warnings that this process has given.
_shown_warnings: set[str] = set()
# The check of a map's scale looks at every 61st pixel; at all of them if fewer than 100 of those
# have ground truth, as with LiDAR.
SAMPLE_STRIDE = 61
MIN_SAMPLES = 100


def read_image(path: str | Path) -> np.ndarray:
    """Read an image of any common type as BGR uint8 (H, W, 3).

    Grey images are repeated, an alpha channel is dropped, 16-bit images are reduced to 8. A
    rotation in the EXIF data is never applied, because depth maps carry none: rows and columns are
    those of the stored pixels. The first image with such a rotation is named in a warning.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no readable image, or a JPEG file whose damage shows (see
            :func:`decode_jpeg`).
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'image {path} does not exist')
    return decode_image(np.fromfile(path, np.uint8), path)


def decode_image(content: np.ndarray, path: str | Path) -> np.ndarray:
    """Decode the content of an image file as BGR uint8 (H, W, 3), see :func:`read_image`.

    Args:
        content: The file, uint8 (N,).
        path: Its name, for messages.

    Raises:
        ValueError: If it is no readable image, or a JPEG file whose damage shows.
    """
    if is_jpeg(content[:3].tobytes()):
        return decode_jpeg(content.tobytes(), path)
    img = _decode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if img is None:
        raise ValueError(
            f'image {path} cannot be decoded, it is empty, cut off, too large or not an image',
        )
    return img


def decode_jpeg(content: bytes, path: str | Path) -> np.ndarray:
    """Decode a JPEG file to BGR uint8 (H, W, 3) and check it for damage.

    OpenCV decodes a damaged file to a partly grey picture. The structure of each file is checked.
    Its compressed data are checked where the picture ends in grey or the file holds a run of equal
    bytes, because that costs several decodings; the data doctor checks those of any file.

    Args:
        content: The file.
        path: Its name, for messages.

    Raises:
        ValueError: If it is damaged.
    """
    damage = structure_error(content)
    img = None
    if not damage:
        img = cv2.imdecode(
            np.frombuffer(content, np.uint8),
            cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
        )
        if img is None:
            damage = 'it cannot be decoded'
        elif looks_damaged(content, img):
            damage = entropy_error(content)
    if damage:
        raise ValueError(f'image {path} is a damaged JPEG file: {damage}; copy or unpack it again')
    orientation = exif_orientation(content)
    if orientation != 1:
        _warn_of_rotation(path, orientation)
    return img


def _warn_of_rotation(path: str | Path, orientation: int) -> None:
    """Warn once per process that EXIF rotations are not applied."""
    if 'rotation' not in _shown_warnings:
        warnings.warn(
            f'image {path} has EXIF orientation {orientation} (1 is upright), which is not '
            'applied: depth maps and predictions are in the rows and columns of the stored pixels; '
            'further images are not named',
            stacklevel=4,
        )
    _shown_warnings.add('rotation')


def read_depth(path: str | Path, depth_scale: float) -> np.ndarray:
    """Read a depth map as float32 metres (H, W), 0 = no ground truth.

    Integers are divided by ``depth_scale``; floating point values (npy, npz, tiff) are metres
    already. Values that are not finite or negative become 0.

    Args:
        path: 16-bit PNG, npy, npz (first array) or tiff.
        depth_scale: Stored integers per metre.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of a type that holds no depth, or not one channel.
    """
    return stored_to_metres(read_stored(path), depth_scale, path)


def stored_to_metres(stored: np.ndarray, depth_scale: float, path: str | Path) -> np.ndarray:
    """Convert the array of a depth file to float32 metres (H, W), see :func:`read_depth`.

    ``path`` is for error messages.

    Raises:
        ValueError: If the array is no depth: several channels, 8 bits or no numbers.
    """
    if stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[..., 0]
    if stored.ndim != 2:
        raise ValueError(f'depth map {path} has shape {stored.shape}, expected one channel (H, W)')
    if stored.dtype == np.uint8:
        raise ValueError(
            f'depth map {path} has 8 bits, which cannot hold metric depth; a 16-bit PNG is needed',
        )
    if stored.dtype.kind not in 'uif':
        raise ValueError(
            f'depth map {path} holds {stored.dtype} values, which are no depth; save metres as '
            'float32 or integers that depth_scale turns into metres (uint16)',
        )
    # Unsigned integers are never negative or infinite: one pass instead of two.
    if stored.dtype.kind == 'u':
        return np.divide(stored, np.float32(depth_scale), dtype=np.float32)
    depth = stored.astype(np.float32)
    if stored.dtype.kind == 'i':
        depth /= np.float32(depth_scale)
    return without_invalid(depth)


def without_invalid(depth: np.ndarray) -> np.ndarray:
    """Set depth (H, W) in metres to 0 where it is negative or not finite, in place."""
    depth[~np.isfinite(depth) | (depth < 0)] = 0
    return depth


def read_stored(path: str | Path) -> np.ndarray:
    """Return the array of a png, tiff, npy or npz (first array) file, unchanged.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or of another type.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'depth map {path} does not exist')
    suffix = path.suffix.lower()
    if suffix not in ('.png', '.tif', '.tiff', '.npy', '.npz'):
        raise ValueError(
            f'depth map {path}: type {suffix!r} is not read; png (16 bit), npy, npz and tiff are',
        )
    if path.stat().st_size == 0:
        raise ValueError(f'depth map {path} is empty (0 bytes); copy or unpack it again')
    if suffix in ('.npy', '.npz'):
        return _read_numpy(path)
    stored = _decode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise ValueError(
            f'depth map {path} cannot be decoded, it is empty, cut off or not an image',
        )
    return stored


def read_uint16(path: str | Path) -> np.ndarray:
    """Return the array (H, W) of a file of one channel with 16 bits, unchanged.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or of another kind.
    """
    stored = read_stored(path)
    if stored.dtype != np.uint16 or stored.ndim != 2:
        raise ValueError(
            f'depth map {path} is {stored.dtype} {stored.shape}, expected a 16-bit PNG of one '
            'channel'
        )
    return stored


def _read_numpy(path: Path) -> np.ndarray:
    try:
        return load_array(path)
    except NUMPY_ERRORS as error:
        raise ValueError(
            f'depth map {path} cannot be read, it is cut off or no array: {error}; copy or unpack '
            'it again',
        ) from error


def _decode(content: np.ndarray, flags: int) -> np.ndarray | None:
    """Decode the bytes of an image file; None if they are no image or a truncated PNG."""
    # OpenCV fills the missing rows of a truncated PNG with zeros and only prints a warning.
    is_png = content[:4].tobytes() == b'\x89PNG'
    is_truncated = is_png and b'IEND' not in content[-1024:].tobytes()
    if is_truncated or not content.size:
        return None
    try:
        return cv2.imdecode(content, flags)
    except cv2.error:  # more pixels than OpenCV takes, or a header that claims them
        return None


def load_image(sample: dict) -> np.ndarray:
    """Return the image of a sample, BGR uint8 (H, W, 3), using its ``img_reader`` if it has one."""
    if sample.get('img_reader'):
        return _reader(sample['img_reader'])(sample)
    return read_image(sample['img_path'])


def load_depth(sample: dict) -> np.ndarray:
    """Return the depth of a sample, float32 metres (H, W), 0 = no ground truth.

    The sample's ``depth_reader`` reads it, if it has one.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, or the sample has no ground truth.
    """
    if sample.get('depth_reader'):
        return _reader(sample['depth_reader'])(sample)
    if not sample.get('depth_path'):
        raise ValueError(
            f'{sample.get("img_path", "the sample")} has no ground truth; leave LoadDepth out of '
            'the pipeline of a list without ground truth',
        )
    return read_depth(sample['depth_path'], sample['depth_scale'])


def has_own_unit(sample: dict) -> bool:
    """Return whether a reader knows the unit of the depth; otherwise ``depth_scale`` gives it."""
    # Packs store the files' content unchanged, so the unit is known if the files' reader knew it.
    key = 'depth_reader_of_files' if 'packed_depth' in sample else 'depth_reader'
    return bool(sample.get(key))


def _reader(name: str) -> Callable[[dict], np.ndarray]:
    reader = READERS.get(name)
    if reader is None:
        raise ValueError(
            f'no file reader is called {name!r}; there are '
            f'{", ".join(sorted(READERS.module_dict))}',
        )
    return reader


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read the image of a sample; an ``img`` that is set already is used as it is.

    Sets ``img`` (H, W, 3) uint8 BGR, ``img_shape``, ``ori_shape`` and ``frame_shape``; for a sample
    with a camera ``ori_cam_intrinsic`` too.

    Raises:
        FileNotFoundError, ValueError: If the image cannot be read; the message says where it was
            listed.
    """

    def transform(self, results: dict) -> dict:
        """Read the image.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read; both name the place that lists it.
        """
        if 'img' not in results:
            try:
                results['img'] = load_image(results)
            except (FileNotFoundError, ValueError) as error:
                raise type(error)(
                    f'{error} (listed in {results.get("listed_in", "the inputs")})',
                ) from error
        shape = results['img'].shape[:2]
        # Resizing changes the first, crops the second too; the third stays that of the file.
        results.update(img_shape=shape, ori_shape=shape, frame_shape=shape)
        if results.get('cam_intrinsic') is not None:
            results['cam_intrinsic'] = np.array(results['cam_intrinsic'], np.float64)
            results['ori_cam_intrinsic'] = results['cam_intrinsic']
        return results


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Read the ground truth of a sample; follows ``LoadImage``.

    Sets ``gt_depth`` (H, W) float32 in metres, from ``depth_path`` with ``depth_scale`` or by the
    sample's ``depth_reader``.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, differs in size from the image, was plainly stored with
            another scale, or the image was already mirrored, cropped or rotated.
    """

    needs_ground_truth = True  # inference leaves the transform out

    def transform(self, results: dict) -> dict:
        """Read and check the depth map.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read or does not have the size of the image.
        """
        if 'gt_depth' in results:
            return results
        require_unmoved(results, 'LoadDepth')
        try:
            depth = load_depth(results)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(
                f'{error} (listed in {results.get("listed_in", "the inputs")})',
            ) from error
        if depth.shape != tuple(results['img'].shape[:2]):
            raise ValueError(
                f'depth map {results["depth_path"]} has size {depth.shape[1]}x{depth.shape[0]}, '
                f'its image {results["img_path"]} '
                f'{results["img"].shape[1]}x{results["img"].shape[0]}; they must be equal',
            )
        if not has_own_unit(results):
            self._check_scale(depth, results)
        return place_ground_truth(results, depth)

    @staticmethod
    def _check_scale(depth: np.ndarray, results: dict) -> None:
        """Raise an error if the median depth contradicts the depth range."""
        valid = depth.ravel()[::SAMPLE_STRIDE]
        valid = valid[valid > 0]
        if valid.size < MIN_SAMPLES:
            valid = depth[depth > 0]
        if valid.size == 0 or 'max_depth' not in results:
            return
        median, far = float(np.median(valid)), results['max_depth']
        if not far / 500 <= median <= 2 * far:
            raise ValueError(
                f'depth map {results["depth_path"]}: its median depth of {median:.4g} m does not '
                f'go with a range up to {far:g} m; depth_scale={results["depth_scale"]:g} (stored '
                'integers per metre) is probably wrong, it is 1000 for millimetres and 256 for '
                'KITTI',
            )


@TRANSFORMS.register_module()
class LoadVelodyneDepth(BaseTransform):
    """Ground truth of KITTI raw: the laser scan ``velodyne_path`` projected into the image.

    Sets ``gt_depth``, ``ori_shape`` and ``ori_cam_intrinsic``.

    Args:
        depth_axis: ``'forward'`` as published for self-supervised methods, ``'camera'`` for depth
            along the camera's axis, see :func:`~depth.datasets.velodyne.project_velodyne`.
        size: (height, width) to which the map is brought (nearest) and at which predictions are
            scored; published evaluations use 375x1242 for all days. None keeps the camera's, which
            the calibration states.

    Raises:
        FileNotFoundError: If the scan is missing.
        ValueError: If the image was already mirrored, cropped or rotated.
    """

    needs_ground_truth = True  # inference leaves the transform out

    def __init__(
        self,
        depth_axis: str = 'forward',
        size: Sequence[int] | None = (375, 1242),
    ) -> None:
        if depth_axis not in ('camera', 'forward'):
            raise ValueError(
                f"LoadVelodyneDepth: depth_axis is 'camera' or 'forward', got {depth_axis!r}",
            )
        self.depth_axis = depth_axis
        self.size = tuple(size) if size is not None else None

    def transform(self, results: dict) -> dict:
        """Project the scan.

        Raises:
            FileNotFoundError: If there is no such scan.
        """
        require_unmoved(results, 'LoadVelodyneDepth')
        try:
            # x, y, z in metres and the reflectance.
            points = np.fromfile(results['velodyne_path'], np.float32).reshape(-1, 4)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'laser scan {results["velodyne_path"]} does not exist (listed in '
                f'{results.get("listed_in")}); it is part of the synced KITTI raw archives',
            ) from error
        camera = 2 if results['side'] == 'left' else 3
        projection, size = velodyne_to_image(results['calib_dir'], camera)
        depth = project_velodyne(points, projection, size, self.depth_axis)
        if self.size is not None:
            depth = resize_nearest(depth, self.size)
        return place_ground_truth(results, depth)
