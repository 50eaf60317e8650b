"""BTS as published in zhyever/Monocular-Depth-Estimation-Toolbox."""

import re

from torch import Tensor

from depth.registry import CONVERTERS

from .state import PublishedState

DILATIONS = (3, 6, 12, 18, 24)
# Level numbers are strides' logarithms in the published file and count from the coarsest one here.
_LEVELS = (
    (r'^upconv(\d)\.conv\.', 'up.{}.conv.0.'),
    (r'^bn(\d)\.', 'norms.{}.'),
    (r'^conv(\d)\.', 'convs.{}.'),
)
_CELLS = {'reduc8x8.': 'planes.0.reduce.', 'reduc4x4.': 'planes.1.reduce.', 'reduc2x2.': 'planes.2.reduce.'}


@CONVERTERS.register_module(name='bts')
def convert_bts(state: PublishedState) -> dict[str, Tensor]:
    """Rename ResNet and head; layers of a chain are numbered by their order in the file."""
    converted = state.take_all('backbone.', lambda name: f'backbone.net.{name.removeprefix("backbone.")}')
    for old, new in {**_CELLS, 'reduc1x1.': 'reduce.'}.items():
        for index, name in enumerate(state.names(f'decode_head.{old}')):
            converted[f'decode_head.{new}{2 * index}.weight'] = state.take(name)
    return converted | state.take_all('decode_head.', _head_name)


def _head_name(name: str) -> str:
    name = name.removeprefix('decode_head.')
    for pattern, replacement in _LEVELS:
        match = re.match(pattern, name)
        if match:
            return f'decode_head.{replacement.format(5 - int(match[1]))}{name[match.end() :]}'
    name = re.sub(r'^daspp_(\d+)\.atrous_conv\.', _block_name, name)
    name = re.sub(r'(aspp\.blocks\.\d+)\.first_bn\.', r'\1.0.', name)
    name = re.sub(r'(aspp\.blocks\.\d+)\.aconv_sequence\.(\d)\.', _layer_name, name)
    return 'decode_head.' + name.replace('bn4_2.', 'aspp_norm.').replace('daspp_conv.', 'aspp.fuse.')


def _block_name(match: re.Match) -> str:
    return f'aspp.blocks.{DILATIONS.index(int(match[1]))}.'


def _layer_name(match: re.Match) -> str:
    """Count on from the first norm, which the first block does not have."""
    return f'{match[1]}.{int(match[2]) + (not match[1].endswith(".0"))}.'
