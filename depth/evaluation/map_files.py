"""Reader of single prediction maps (PNG, npy, npz) that explains why a file cannot be read."""

import json
import math
import zlib
from pathlib import Path

import cv2
import numpy as np

from depth.array_files import NUMPY_ERRORS, load_array

from .prediction_types import get_prediction_type

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'


def read_map(path: str | Path) -> np.ndarray:
    """Return the array of a prediction file unchanged: 16-bit PNG, npy or npz (first array).

    Raises:
        ValueError: If it cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() == '.png':
        return _read_png(path)
    try:
        return load_array(path)
    except NUMPY_ERRORS as error:
        raise ValueError(unreadable(f'prediction {path}', error)) from error


def _read_png(path: Path) -> np.ndarray:
    content = path.read_bytes()
    problem = _png_problem(content)
    if problem:
        raise ValueError(f'prediction {path} cannot be decoded, it {problem}; write it again')
    try:
        stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f'prediction {path} cannot be decoded: {error.err}') from error
    if stored is None:
        raise ValueError(f'prediction {path} cannot be decoded, it is damaged or no PNG')
    if stored.dtype != np.uint16:
        raise ValueError(
            f'prediction {path} holds {stored.dtype}, {8 * stored.itemsize} bits a channel; a PNG '
            'of depth needs 16'
        )
    return stored


def _png_problem(content: bytes) -> str:
    """Return the problem with the chunks of a PNG, '' if all are complete and undamaged."""
    # OpenCV decodes a truncated file without an error and fills the rest with zeros.
    if not content.startswith(PNG_SIGNATURE):
        return 'is no PNG' if content else 'is empty'
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(content):
        # A chunk is its length, type, data and checksum; all but the data have four bytes.
        end = position + 12 + int.from_bytes(content[position : position + 4])
        kind = content[position + 4 : position + 8]
        checksum = int.from_bytes(content[end - 4 : end])
        if end > len(content):
            return 'is cut off'
        if zlib.crc32(content[position + 4 : end - 4]) != checksum:
            return f'is damaged near byte {position} (the checksum does not fit)'
        if kind == b'IEND':
            return ''
        position = end
    return 'is cut off'


def unreadable(label: str, error: Exception) -> str:
    """Return the message for a file that NumPy cannot read."""
    reason = str(error) or type(error).__name__
    return (
        f'{label} cannot be read, it is empty, cut off, no array, or holds Python objects, which '
        f'are never loaded: {reason}; save it again as float32'
    )


def read_side_car_type(side_car: Path) -> str | None:
    """Return the ``prediction_type`` that the JSON beside a map states, None if it states none.

    Raises:
        ValueError: If there is no such type.
    """
    stated = _read_side_car(side_car).get('prediction_type')
    if stated is None:
        return None
    try:
        return get_prediction_type(stated).value
    except ValueError as error:
        raise ValueError(f'{side_car}: {error}') from error


def read_side_car(side_car: Path) -> float:
    """Return the ``depth_scale`` that the JSON beside a map states.

    Raises:
        ValueError: If there is none that is positive and finite.
    """
    content = _read_side_car(side_car)
    if 'depth_scale' not in content:
        raise ValueError(f'{side_car} should be {{"depth_scale": ...}}: it has no depth_scale')
    scale = content['depth_scale']
    # A bool is an int in Python.
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        raise ValueError(
            f'{side_car}: depth_scale must be a number, the stored integers per metre, got '
            f'{json.dumps(scale)}'
        )
    if not 0 < scale < math.inf:
        raise ValueError(f'{side_car}: depth_scale must be above 0 and finite, got {scale}')
    return float(scale)


def _read_side_car(side_car: Path) -> dict:
    """Return the content of the JSON beside a map.

    Raises:
        ValueError: If it is no JSON, or no object.
    """
    try:
        content = json.loads(side_car.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{side_car} should be {{"depth_scale": ...}}: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{side_car} should be {{"depth_scale": ...}}: it holds a {type(content).__name__}'
        )
    return content
