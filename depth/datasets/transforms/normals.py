"""Loading of surface normal maps."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .loading import read_stored
from .spatial_keys import require_unmoved

CHANNEL_ORDERS = ('bgr', 'rgb')


@TRANSFORMS.register_module()
class LoadNormals(BaseTransform):
    """Read a surface normal map; follows ``LoadImage``.

    A stored byte b means b / 127.5 - 1. Sets ``normals`` (H, W, 3) float32, unit vectors in camera
    axes (x right, y down, z forward), zero where the file has none (black or grey).

    Args:
        replace: What to replace in ``img_path`` to get the file's path, applied in order, unless
            the sample has a ``normals_path``.
        channel_order: Which channel of the file is x: ``'bgr'`` takes blue, as the published
            Plane2Depth does.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no 8-bit colour image of the image's size, the channel order is
            unknown, or the image was already mirrored, cropped or rotated.
    """

    def __init__(
        self,
        replace: Mapping[str, str] | None = None,
        channel_order: str = 'bgr',
    ) -> None:
        if channel_order not in CHANNEL_ORDERS:
            raise ValueError(
                f'LoadNormals: channel_order is one of {CHANNEL_ORDERS}, got {channel_order!r}',
            )
        self.replace, self.channel_order = dict(replace or {}), channel_order

    def transform(self, results: dict) -> dict:
        """Read and check the map.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no 8-bit colour image of the size of the image.
        """
        require_unmoved(results, 'LoadNormals')
        path = results.get('normals_path') or self._path_of_normals(results['img_path'])
        if not Path(path).is_file():
            raise FileNotFoundError(
                f'normals {path} of {results["img_path"]} do not exist; LoadNormals.replace says '
                'where',
            )
        stored = read_stored(path)
        if stored.dtype != np.uint8 or stored.shape != results['img'].shape:
            raise ValueError(
                f'normals {path} are {stored.dtype} {stored.shape}, expected an 8-bit colour image '
                f'of the size {results["img"].shape[:2]} of {results["img_path"]}',
            )
        if self.channel_order == 'rgb':
            stored = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
        normals = stored.astype(np.float32) / 127.5 - 1
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        # Black means none, and grey bytes decode to vectors of almost no length.
        valid = stored.any(axis=-1, keepdims=True) & (length > 0.1)
        unit = np.where(valid, normals / np.maximum(length, 0.1), 0)
        results['normals'] = unit.astype(np.float32)
        return results

    def _path_of_normals(self, path: str) -> str:
        for old, new in self.replace.items():
            path = path.replace(old, new)
        return path
