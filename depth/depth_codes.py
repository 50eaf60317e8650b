"""Depth as 16-bit integers, the form in which data sets and predictions are stored."""

import numpy as np


def encode_uint16(depth: np.ndarray, depth_scale: float) -> np.ndarray:
    """Return depth (H, W) in metres as uint16, ``depth_scale`` integers per metre, 0 = none.

    Depth that is there never becomes 0: what is nearer than half an integer is stored as 1, what is too far as 65535.
    """
    stored = np.clip(np.rint(depth.astype(np.float64) * depth_scale), 1, 65535)
    return np.where(depth > 0, stored, 0).astype(np.uint16)
