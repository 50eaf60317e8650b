"""Encoding of depth as 16-bit integers, as data sets and predictions are stored."""

import numpy as np


def encode_uint16(depth: np.ndarray, depth_scale: float) -> np.ndarray:
    """Return depth (H, W) in metres as uint16, ``depth_scale`` integers per metre; 0 = no depth.

    Valid depth never becomes 0: values below half an integer are stored as 1, and values beyond the
    range as 65535.
    """
    stored = np.clip(np.rint(depth.astype(np.float64) * depth_scale), 1, 65535)
    return np.where(depth > 0, stored, 0).astype(np.uint16)
