"""Writers of output files: images, npy arrays, and depth as 16-bit PNG with its scale.

A file appears whole or not at all, see :mod:`depth.atomic_write`.
"""

import json
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import atomic_open, write_atomically
from depth.depth_codes import encode_uint16

MAX_MILLIMETRE_DEPTH = 65.535  # metres; the largest 16-bit number of millimetres


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an image (BGR uint8, or one channel of 8 or 16 bits); creates its folder.

    Raises:
        OSError: If it cannot be written.
        ValueError: If the format cannot hold the image.
    """
    write_atomically(path, encode_image(path, image))


def encode_image(path: str | Path, image: np.ndarray) -> bytes:
    """Encode an image as the bytes of a file whose suffix names the format.

    Raises:
        ValueError: If the format cannot hold the image.
    """
    suffix = Path(path).suffix
    try:
        success, encoded = cv2.imencode(suffix, image)
    except cv2.error:
        success = False
    if not success:
        raise ValueError(f'{path}: OpenCV cannot encode {image.shape} {image.dtype} as {suffix}')
    return encoded.tobytes()


def write_array(path: str | Path, array: np.ndarray) -> None:
    """Write an array as npy; creates its folder.

    Raises:
        OSError: If it cannot be written.
    """
    with atomic_open(path) as file:
        np.save(file, array)


def save_depth_png(
    path: str | Path,
    depth: np.ndarray,
    depth_scale: float | None = None,
    prediction_type: str = 'metric',
) -> float:
    """Write a depth map as 16-bit PNG and its side-car JSON.

    Args:
        path: ``NAME.png``; the side-car is ``NAME.json``.
        depth: Metres, (H, W), 0 = none; or the quantity that ``prediction_type`` names.
        depth_scale: Stored integers per metre; by default 1000 (millimetres) where that fits, else
            KITTI's 256. Of another quantity per unit; by default the largest value becomes 65535.
        prediction_type: Quantity, see ``depth.evaluation.PredictionType``; other ones than
            ``'metric'`` are stated in the side-car.

    Returns:
        The scale. Depth beyond what 16 bits hold is cut to it, and the side-car counts such pixels;
        depth below the smallest step becomes that step, because a stored 0 means none.
    """
    path = Path(path)
    image, content = encode_depth_png(depth, depth_scale, prediction_type)
    # Both files are written before either is renamed into place: a PNG without its scale, or with
    # the scale of an earlier run, cannot be read back.
    with (
        atomic_open(path) as file,
        atomic_open(path.with_suffix('.json'), 'w', encoding='utf-8') as side_car,
    ):
        file.write(image)
        file.flush()
        side_car.write(json.dumps(content, indent=2) + '\n')
    return content['depth_scale']


def encode_depth_png(
    depth: np.ndarray, depth_scale: float | None = None, prediction_type: str = 'metric'
) -> tuple[bytes, dict]:
    """Return a depth map as a 16-bit PNG file, and the facts that its side-car states.

    Args:
        depth: (H, W), see :func:`save_depth_png`.
        depth_scale: Stored integers per unit; by default chosen as there.
        prediction_type: Quantity.

    Returns:
        The file; and ``depth_scale``, ``unit``, ``saturated_pixels``, and ``prediction_type`` where
        it is not ``'metric'``.
    """
    is_metric = prediction_type == 'metric'
    if depth_scale is None and not is_metric:
        largest = float(depth.max(initial=0))
        depth_scale = 65535 / largest if largest > 0 else 1.0
    elif depth_scale is None:
        fits_millimetres = float(depth.max(initial=0)) <= MAX_MILLIMETRE_DEPTH
        depth_scale = 1000.0 if fits_millimetres else 256.0
    saturated = int((np.rint(depth.astype(np.float64) * depth_scale) > 65535).sum())
    image = encode_image('depth.png', encode_uint16(depth, depth_scale))
    content = dict(
        depth_scale=depth_scale,
        unit='metres = value / depth_scale, 0 = none',
        saturated_pixels=saturated,
    )
    if not is_metric:
        content.update(
            prediction_type=prediction_type, unit=f'{prediction_type} = value / depth_scale'
        )
    return image, content
