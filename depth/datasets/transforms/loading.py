"""Reading images and depth maps, with an answer in words for each file that cannot be used.

A data set whose files are no common images names a reader in its samples: ``img_reader`` or ``depth_reader``, the name
of a function in the ``READERS`` registry that is given the sample and returns BGR uint8 (H, W, 3), or depth as float32
metres (H, W) with 0 = no ground truth. Without one :func:`read_image` and :func:`read_depth` read the paths.
"""

import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import READERS, TRANSFORMS

STRIDE, ENOUGH = 61, 100  # every so many pixels of a map are looked at, all where that gives fewer valid ones


def read_image(path: str | Path) -> np.ndarray:
    """Read an image of any common type as BGR uint8 (H, W, 3).

    Grey images are repeated, an alpha channel is dropped, 16-bit images are reduced to 8. A rotation in the EXIF data
    is ignored, because depth maps carry none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no readable image.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'image {path} does not exist')
    img = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if img is None:
        raise ValueError(f'image {path} cannot be decoded, it is empty, cut off, too large or not an image')
    return img


def read_depth(path: str | Path, depth_scale: float) -> np.ndarray:
    """Read a depth map as float32 metres (H, W), 0 = no ground truth.

    Integers are divided by ``depth_scale``; floating point values (npy, npz, tiff) are metres already. Values that are
    not finite or negative become 0.

    Args:
        path: 16-bit PNG, npy, npz (first array) or tiff.
        depth_scale: Stored integers per metre.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of a type that holds no depth, or not one channel.
    """
    return stored_to_metres(read_stored(path), depth_scale, path)


def stored_to_metres(stored: np.ndarray, depth_scale: float, path: str | Path) -> np.ndarray:
    """Return what a depth file holds as float32 metres (H, W), see :func:`read_depth`; ``path`` is for messages."""
    if stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[..., 0]
    if stored.ndim != 2:
        raise ValueError(f'depth map {path} has shape {stored.shape}, expected one channel (H, W)')
    if stored.dtype == np.uint8:
        raise ValueError(f'depth map {path} has 8 bits, which cannot hold metric depth; a 16-bit PNG is needed')
    if stored.dtype.kind not in 'uif':
        raise ValueError(
            f'depth map {path} holds {stored.dtype} values, which are no depth; save metres as float32 or '
            'integers that depth_scale turns into metres (uint16)'
        )
    if stored.dtype.kind == 'u':  # the usual case, in one pass
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
    """Return what a png, tiff, npy or npz (first array) holds, unchanged.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or of another type.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'depth map {path} does not exist')
    suffix = path.suffix.lower()
    if suffix not in ('.png', '.tif', '.tiff', '.npy', '.npz'):
        raise ValueError(f'depth map {path}: type {suffix!r} is not read; png (16 bit), npy, npz and tiff are')
    if path.stat().st_size == 0:
        raise ValueError(f'depth map {path} is empty (0 bytes); copy or unpack it again')
    if suffix in ('.npy', '.npz'):
        return _read_numpy(path)
    stored = _decode(path, cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise ValueError(f'depth map {path} cannot be decoded, it is empty, cut off or not an image')
    return stored


def _read_numpy(path: Path) -> np.ndarray:
    try:
        stored = np.load(path, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            return stored
        with stored as archive:
            return archive[archive.files[0]]
    except (ValueError, OSError, IndexError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f'depth map {path} cannot be read, it is cut off or no array: {error}; copy or unpack it again'
        ) from error


def _decode(path: str | Path, flags: int) -> np.ndarray | None:
    """Return the decoded image, None if the file holds none or is a PNG without its end.

    OpenCV would fill what a cut-off PNG lacks with zeros and only print a warning.
    """
    content = np.fromfile(path, np.uint8)
    is_cut_off = content[:4].tobytes() == b'\x89PNG' and b'IEND' not in content[-1024:].tobytes()
    try:
        return None if is_cut_off or not content.size else cv2.imdecode(content, flags)
    except cv2.error:  # more pixels than OpenCV takes, or a header that claims them
        return None


def load_image(sample: dict) -> np.ndarray:
    """Return the image of a sample, BGR uint8 (H, W, 3), by the sample's ``img_reader`` if it names one."""
    reader = sample.get('img_reader')
    return _reader(reader)(sample) if reader else read_image(sample['img_path'])


def load_depth(sample: dict) -> np.ndarray:
    """Return the depth of a sample, float32 metres (H, W), 0 = no ground truth, by its ``depth_reader`` if it has one.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, or the sample has no ground truth.
    """
    if sample.get('depth_reader'):
        return _reader(sample['depth_reader'])(sample)
    if not sample.get('depth_path'):
        raise ValueError(
            f'{sample.get("img_path", "the sample")} has no ground truth; leave LoadDepth out of the pipeline of a '
            'list without ground truth'
        )
    return read_depth(sample['depth_path'], sample['depth_scale'])


def _reader(name: str):
    reader = READERS.get(name)
    if reader is None:
        raise ValueError(f'no file reader is called {name!r}; there are {", ".join(sorted(READERS.module_dict))}')
    return reader


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read ``img_path``; sets ``img`` (H, W, 3) uint8 BGR, ``img_shape``, ``ori_shape`` and ``ori_cam_intrinsic``.

    An image that is there already (``img``) is taken as it is.

    Raises:
        FileNotFoundError, ValueError: If the image cannot be read; the message says where it was listed.
    """

    def transform(self, results: dict) -> dict:
        """Read the image."""
        if 'img' not in results:
            try:
                results['img'] = load_image(results)
            except (FileNotFoundError, ValueError) as error:
                raise type(error)(f'{error} (listed in {results.get("listed_in", "the inputs")})') from error
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        if results.get('cam_intrinsic') is not None:
            results['cam_intrinsic'] = np.array(results['cam_intrinsic'], np.float64)
            results['ori_cam_intrinsic'] = results['cam_intrinsic']
        return results


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Read ``depth_path`` by ``depth_scale`` or as the sample's ``depth_reader`` does; follows ``LoadImage``.

    Sets ``gt_depth`` (H, W) float32 in metres.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, differs in size from the image, or was plainly stored with another scale.
    """

    def transform(self, results: dict) -> dict:
        """Read and check the depth map."""
        if 'gt_depth' in results:
            return results
        try:
            depth = load_depth(results)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f'{error} (listed in {results.get("listed_in", "the inputs")})') from error
        if depth.shape != tuple(results['img'].shape[:2]):
            raise ValueError(
                f'depth map {results["depth_path"]} has size {depth.shape[1]}x{depth.shape[0]}, its image '
                f'{results["img_path"]} {results["img"].shape[1]}x{results["img"].shape[0]}; they must be equal'
            )
        if not results.get('depth_reader'):  # those know their unit, depth_scale is a setting
            self._check_scale(depth, results)
        results['gt_depth'] = depth
        return results

    @staticmethod
    def _check_scale(depth: np.ndarray, results: dict) -> None:
        """Refuse a map whose typical depth no data set of this range can have."""
        valid = depth.ravel()[::STRIDE]
        valid = valid[valid > 0]
        if valid.size < ENOUGH:
            valid = depth[depth > 0]
        if valid.size == 0 or 'max_depth' not in results:
            return
        median, far = float(np.median(valid)), results['max_depth']
        if not far / 500 <= median <= 2 * far:
            raise ValueError(
                f'depth map {results["depth_path"]}: its median depth of {median:.4g} m does not go with a range up to '
                f'{far:g} m; depth_scale={results["depth_scale"]:g} (stored integers per metre) is probably wrong, '
                'it is 1000 for millimetres and 256 for KITTI'
            )
