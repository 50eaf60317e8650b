"""Reading images and depth maps, with an answer in words for each file that cannot be used."""

from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS


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
    img = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if img is None:
        raise ValueError(f'image {path} cannot be decoded, it is damaged or not an image')
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
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'depth map {path} does not exist')
    stored = _read_array(path)
    if stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[..., 0]
    if stored.ndim != 2:
        raise ValueError(f'depth map {path} has shape {stored.shape}, expected one channel (H, W)')
    if stored.dtype == np.uint8:
        raise ValueError(f'depth map {path} has 8 bits, which cannot hold metric depth; a 16-bit PNG is needed')
    depth = stored.astype(np.float32)
    if np.issubdtype(stored.dtype, np.integer):
        depth /= np.float32(depth_scale)
    depth[~np.isfinite(depth) | (depth < 0)] = 0
    return depth


def _read_array(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    try:
        if suffix == '.npy':
            return np.load(path, allow_pickle=False)
        if suffix == '.npz':
            with np.load(path, allow_pickle=False) as archive:
                return archive[archive.files[0]]
    except (ValueError, OSError, IndexError, EOFError) as error:
        raise ValueError(f'depth map {path} cannot be read: {error}') from error
    if suffix not in ('.png', '.tif', '.tiff'):
        raise ValueError(f'depth map {path}: type {suffix!r} is not read; png (16 bit), npy, npz and tiff are')
    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise ValueError(f'depth map {path} cannot be decoded, it is damaged or not an image')
    return stored


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
                results['img'] = read_image(results['img_path'])
            except (FileNotFoundError, ValueError) as error:
                raise type(error)(f'{error} (listed in {results.get("listed_in", "the inputs")})') from error
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        if results.get('cam_intrinsic') is not None:
            results['cam_intrinsic'] = np.array(results['cam_intrinsic'], np.float64)
            results['ori_cam_intrinsic'] = results['cam_intrinsic']
        return results


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Read ``depth_path`` by ``depth_scale``; sets ``gt_depth`` (H, W) float32 in metres. Follows ``LoadImage``.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, differs in size from the image, or was plainly stored with another scale.
    """

    def transform(self, results: dict) -> dict:
        """Read and check the depth map."""
        if 'gt_depth' in results:
            return results
        path = results['depth_path']
        try:
            depth = read_depth(path, results['depth_scale'])
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f'{error} (listed in {results.get("listed_in", "the inputs")})') from error
        if depth.shape != tuple(results['img'].shape[:2]):
            raise ValueError(
                f'depth map {path} has size {depth.shape[1]}x{depth.shape[0]}, its image {results["img_path"]} '
                f'{results["img"].shape[1]}x{results["img"].shape[0]}; they must be equal'
            )
        self._check_scale(depth, results)
        results['gt_depth'] = depth
        return results

    @staticmethod
    def _check_scale(depth: np.ndarray, results: dict) -> None:
        """Refuse a map whose typical depth no data set of this range can have."""
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
