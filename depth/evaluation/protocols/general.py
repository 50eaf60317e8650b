"""Protocols for any data set (least-squares fits), and for synthetic scenes and folders of images.

The fits are for predictions without scale, or without scale and offset. MiDaS
(https://arxiv.org/abs/1907.01341) fits a factor and an offset in inverse depth, then caps the
depth; depth that is known up to a factor and an offset is fitted in depth. The far end is 80 m
(outdoors) or 10 m (indoors, ``_10``). For another one set ``max_depth`` in the config, which then
shows in the protocol's name.
"""

from ..alignment import ALIGNMENTS
from .protocol import Protocol


def _fitted(name: str, description: str, alignment: str, max_depth: float) -> Protocol:
    """Return a protocol that fits and resizes predictions in one domain, depth or inverse depth."""
    return Protocol(
        name,
        description,
        1e-3,
        max_depth,
        resize='bilinear',
        resize_inverse=ALIGNMENTS[alignment].inverse,
        alignment=alignment,
        clamp=(1e-3, max_depth),
        tta='none',
    )


_DISPARITY = (
    'any data set, factor and offset fitted by least squares in inverse depth, every measured pixel'
)
_DEPTH = 'any data set, factor and offset fitted by least squares in depth, every measured pixel'
_SCALE = 'any data set, factor fitted by least squares in depth, every measured pixel'

AFFINE_INVARIANT = (
    _fitted('midas_disparity_lsq', _DISPARITY, 'inverse_scale_shift', 80.0),
    _fitted('midas_disparity_lsq_10', _DISPARITY, 'inverse_scale_shift', 10.0),
    _fitted('affine_depth_lsq', _DEPTH, 'scale_shift', 80.0),
    _fitted('affine_depth_lsq_10', _DEPTH, 'scale_shift', 10.0),
    _fitted('scale_depth_lsq', _SCALE, 'scale', 80.0),
    _fitted('scale_depth_lsq_10', _SCALE, 'scale', 10.0),
)

OWN_DATA = (
    Protocol('desks_3', 'synthetic desks, every pixel', 1e-3, 3.0, datasets=('synthetic_desks',)),
    Protocol('rooms_10', 'synthetic rooms, every pixel', 1e-3, 10.0, datasets=('synthetic_rooms',)),
    Protocol(
        'streets_80',
        'synthetic streets, every pixel with depth',
        1e-3,
        80.0,
        datasets=('synthetic_streets',),
    ),
    Protocol(
        'folder', 'a folder of images, every measured pixel', 1e-3, 10.0, datasets=('folder',)
    ),
)
