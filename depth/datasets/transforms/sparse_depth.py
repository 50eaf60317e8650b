"""Sparse depth from files: points measured by a laser, by stereo or by structure from motion."""

from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .loading import read_stored
from .spatial_keys import require_unmoved


def read_sparse_depth(
    path: str | Path, depth_scale: float | None = None, max_depth: float | None = None
) -> np.ndarray:
    """Read a map of points, float32 metres (H, W), 0 = no point.

    Args:
        path: Integers (png, tiff) or metres (npy, npz, tiff).
        depth_scale: Stored integers per metre: 256 for KITTI, 1000 for millimetres.
        max_depth: Far end of the model's depth range in metres, for a check of the scale.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, no map, holds negative or infinite depth, or cannot be in
            metres by its scale.
    """
    stored = read_stored(path)
    if stored.ndim != 2 or stored.dtype.kind not in 'uif':
        raise ValueError(
            f'sparse depth {path} holds {stored.dtype} values of shape {stored.shape}, expected '
            'depth (H, W) as integers or floats'
        )
    depth = stored.astype(np.float32)
    if stored.dtype.kind in 'ui':
        if depth_scale is None:
            raise ValueError(
                f'sparse depth {path} holds integers, whose unit no file says: give the stored '
                'integers per metre (--sparse-scale, sparse_scale), 256 for KITTI, 1000 for '
                'millimetres'
            )
        depth /= np.float32(depth_scale)
    check_sparse_depth(depth, f'sparse depth {path}', max_depth=max_depth)
    return depth


def check_sparse_depth(
    depth: np.ndarray,
    name: str,
    size: tuple[int, int] | None = None,
    max_depth: float | None = None,
) -> None:
    """Refuse points that cannot be those of an image.

    Args:
        depth: Metres (H, W), 0 = no point.
        name: What they are and where they are from, for the message.
        size: (height, width) of the image, None to leave that to the caller.
        max_depth: Far end of the depth range in metres; None or infinite to leave out the check of
            the scale.

    Raises:
        ValueError: If the shape is another one, a value is negative or not finite, or the median
            does not go with the depth range.
    """
    if depth.ndim != 2 or (size is not None and depth.shape != tuple(size)):
        expected = 'two axes' if size is None else f'{size[0]}x{size[1]}, the size of its image'
        shape = 'x'.join(map(str, depth.shape))
        raise ValueError(
            f'{name} is {shape}, expected {expected}: points lie on pixels, and a map of another '
            'size would move them'
        )
    if not np.isfinite(depth).all():
        raise ValueError(f'{name} holds NaN or infinite values; a pixel without a point is 0')
    if (depth < 0).any():
        raise ValueError(
            f'{name} holds negative depth, {float(depth.min()):.4g} m at least; a pixel without a '
            'point is 0'
        )
    points = depth[depth > 0]
    if max_depth is None or not np.isfinite(max_depth) or not points.size:
        return
    median = float(np.median(points))
    # The ends of LoadDepth: farther off than any scene, so that it is the unit.
    if not max_depth / 500 <= median <= 2 * max_depth:
        raise ValueError(
            f'{name}: its median depth of {median:.4g} m does not go with a range up to '
            f'{max_depth:g} m; is it in metres, or are the stored integers per metre right (256 '
            'for KITTI, 1000 for millimetres)?'
        )


@TRANSFORMS.register_module()
class LoadSparseDepth(BaseTransform):
    """Read the points of a sample; follows ``LoadImage``.

    Sets ``sparse_depth`` (H, W) float32 in metres from ``sparse_path`` with ``depth_scale``. A
    sample that has points already keeps them; one without a file has none, as in inference on an
    image alone.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be read, has another size than the image, holds impossible depth,
            or the image was already mirrored, cropped or rotated.
    """

    def transform(self, results: dict) -> dict:
        """Read and check the points.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read; both name the place that lists it.
        """
        if results.get('sparse_depth') is not None or not results.get('sparse_path'):
            return results
        require_unmoved(results, 'LoadSparseDepth')
        path, listed_in = results['sparse_path'], results.get('listed_in', 'the inputs')
        try:
            depth = read_sparse_depth(path, results['depth_scale'], results.get('max_depth'))
            check_sparse_depth(depth, f'sparse depth {path}', results['img'].shape[:2])
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f'{error} (listed in {listed_in})') from error
        results['sparse_depth'] = depth
        return results
