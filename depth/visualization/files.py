"""Writing pictures, with an error if they could not be written."""

from pathlib import Path

import cv2
import numpy as np


def write_image(path: str | Path, picture: np.ndarray) -> None:
    """Write a picture (BGR uint8, or one channel of 8 or 16 bits) and make its folder.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written, encoded = cv2.imencode(path.suffix, picture)
    if not written:
        raise OSError(f'{path}: OpenCV cannot encode {picture.shape} {picture.dtype} as {path.suffix}')
    path.write_bytes(encoded.tobytes())
