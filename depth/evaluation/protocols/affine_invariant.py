"""Protocols for predictions without scale, or without scale and offset, on any data set.

MiDaS (https://arxiv.org/abs/1907.01341) fits a factor and an offset in inverse depth and then caps the depth; methods
that predict depth up to a factor and an offset are fitted in depth. The far end depends on the data set: 80 m outdoors,
10 m indoors (``_10``); for another one say ``max_depth`` in the config, which then shows in the protocol's name.
"""

from .protocol import Protocol


def _fitted(name: str, description: str, alignment: str, max_depth: float) -> Protocol:
    return Protocol(
        name,
        description,
        1e-3,
        max_depth,
        resize='bilinear',
        resize_inverse=alignment.startswith('inverse'),
        alignment=alignment,
        clamp=(1e-3, max_depth),
        tta='none',
    )


_DISPARITY = 'any data set, factor and offset fitted by least squares in inverse depth, every measured pixel'
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
