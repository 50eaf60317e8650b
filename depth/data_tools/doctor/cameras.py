"""Findings about intrinsics that no such camera can have."""

from collections.abc import Iterator

import numpy as np

from .finding import Finding, some
from .listing import Split
from .probe import Record

FOCAL_SHARE = (0.3, 4.0)  # of the image width: fields of view from 118 down to 14 degrees
ASPECT = (0.8, 1.25)  # fx / fy
CENTER = (0.3, 0.7)  # of width and height


def implausible_intrinsics(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find matrices that do not go with the size of their image."""
    bad = []
    for record in records:
        matrix = record.sample.get('cam_intrinsic')
        if matrix is not None and record.image.size:
            fault = intrinsics_fault(np.asarray(matrix, np.float64), *record.image.size)
            if fault:
                bad.append(f'{record.image.path}: {fault}')
    if bad:
        yield Finding(
            'error',
            'camera',
            split.name,
            f'intrinsics that do not go with the image: {len(bad)} of {len(records)} images',
            'was the image resized or cropped without its camera, or is it the matrix of another day or data set?',
            len(bad),
            some(bad),
        )


def intrinsics_fault(matrix: np.ndarray, width: int, height: int) -> str:
    """Return what is odd about a pinhole matrix (3, 3) in pixels for an image, '' if nothing is."""
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return f'the matrix is no finite 3x3 one: {matrix.tolist()}'
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    if not FOCAL_SHARE[0] * width <= fx <= FOCAL_SHARE[1] * width:
        return f'fx = {fx:.4g} px for a width of {width} px'
    if not ASPECT[0] <= fx / fy <= ASPECT[1]:
        return f'fx = {fx:.4g} and fy = {fy:.4g} px: pixels are square, these are not'
    for name, center, size in (('cx', cx, width), ('cy', cy, height)):
        if not CENTER[0] * size <= center <= CENTER[1] * size:
            return f'{name} = {center:.4g} px in an image of {width}x{height} px'
    return ''
