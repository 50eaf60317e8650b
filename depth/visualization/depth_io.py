"""Depth as 16-bit PNG, with what is needed to read it back beside it."""

import json
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import atomic_open
from depth.depth_codes import encode_uint16

from .files import encode_image

FARTHEST_MM = 65.535  # metres that fit into 16 bits as millimetres


def save_depth_png(path: str | Path, depth: np.ndarray, depth_scale: float | None = None) -> float:
    """Write a depth map as 16-bit PNG and its side-car JSON.

    Args:
        path: ``NAME.png``; the side-car is ``NAME.json``.
        depth: Metres, (H, W), 0 = none.
        depth_scale: Stored integers per metre; by default 1000 (millimetres) where that fits, else KITTI's 256.

    Returns:
        The scale. Depth beyond what 16 bits hold is cut to it, and the side-car counts such pixels; depth below the
        smallest step becomes that step, because a stored 0 means none.
    """
    path = Path(path)
    farthest = float(depth.max(initial=0))
    scale = depth_scale or (1000.0 if farthest <= FARTHEST_MM else 256.0)
    saturated = int((np.rint(depth.astype(np.float64) * scale) > 65535).sum())
    picture = encode_image(path, encode_uint16(depth, scale))
    content = dict(depth_scale=scale, unit='metres = value / depth_scale, 0 = none', saturated_pixels=saturated)
    # Both are on the disk before either gets its name: a PNG without its scale, or with an old one, is worth nothing.
    with atomic_open(path) as file, atomic_open(path.with_suffix('.json'), 'w', encoding='utf-8') as side_car:
        file.write(picture)
        file.flush()
        side_car.write(json.dumps(content, indent=2) + '\n')
    return scale


def read_depth_png(path: str | Path) -> np.ndarray:
    """Read back what :func:`save_depth_png` wrote, metres, (H, W) float32."""
    path = Path(path)
    scale = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))['depth_scale']
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / np.float32(scale)
