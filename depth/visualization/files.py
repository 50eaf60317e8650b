"""Writing pictures and arrays, whole or not at all."""

from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import atomic_open, write_atomically


def write_image(path: str | Path, picture: np.ndarray) -> None:
    """Write a picture (BGR uint8, or one channel of 8 or 16 bits) and make its folder.

    Raises:
        OSError: If it cannot be written.
        ValueError: If its type cannot hold the picture.
    """
    write_atomically(path, encode_image(path, picture))


def encode_image(path: str | Path, picture: np.ndarray) -> bytes:
    """Return what the file of a picture holds; its suffix says which type.

    Raises:
        ValueError: If this type cannot hold the picture.
    """
    suffix = Path(path).suffix
    try:
        written, encoded = cv2.imencode(suffix, picture)
    except cv2.error:
        written = False
    if not written:
        raise ValueError(f'{path}: OpenCV cannot encode {picture.shape} {picture.dtype} as {suffix}')
    return encoded.tobytes()


def write_array(path: str | Path, array: np.ndarray) -> None:
    """Write an array as npy and make its folder.

    Raises:
        OSError: If it cannot be written.
    """
    with atomic_open(path) as file:
        np.save(file, array)
