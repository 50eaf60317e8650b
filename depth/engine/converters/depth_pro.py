"""Converter of Depth Pro, published in apple/ml-depth-pro."""

import re

from torch import Tensor

from .state import PublishedFile, PublishedState, register_converter

_ENCODER_NAMES = (
    ('upsample_lowres.', 'upsample_global.'),
    ('fuse_lowres.', 'fuse_global.'),
)
_FUSION_NAMES = (
    (r'\.resnet1\.residual\.1\.', '.skip_unit.conv1.'),
    (r'\.resnet1\.residual\.3\.', '.skip_unit.conv2.'),
    (r'\.resnet2\.residual\.1\.', '.unit.conv1.'),
    (r'\.resnet2\.residual\.3\.', '.unit.conv2.'),
    (r'\.deconv\.', '.upsample.'),
    (r'\.out_conv\.', '.project.'),
)


@register_converter(
    'depth_pro',
    code_licence='Apple sample code licence: use, modify, redistribute; no patent grant',
    weights_licence='that of the code, as the README says',
    url='https://github.com/apple/ml-depth-pro',
    downloads=dict(
        depth_pro_vitl=PublishedFile(
            'https://ml-site.cdn-apple.com/models/depth-pro/depth_pro.pt',
            'Apple sample code licence',
        )
    ),
)
def convert_depth_pro(state: PublishedState) -> dict[str, Tensor]:
    """Rename the three ViTs, the decoder and the field-of-view branch.

    The first residual unit of the coarsest fusion block is never used.
    """
    state.drop(r'^decoder\.fusions\.4\.resnet1\.')
    converted = state.take_all('encoder.', _encoder_name)
    converted |= state.take_all('decoder.', _decoder_name)
    converted |= state.take_all('head.', lambda name: f'decode_head.{name}')
    converted |= state.take_all(
        'fov.encoder.0.', lambda name: name.replace('fov.encoder.0.', 'backbone.fov_encoder.')
    )
    # A linear layer on tokens is a 1x1 convolution on their map.
    converted['decode_head.fov_projection.weight'] = state.take('fov.encoder.1.weight')[
        ..., None, None
    ]
    converted['decode_head.fov_projection.bias'] = state.take('fov.encoder.1.bias')
    for tensor_name in ('weight', 'bias'):
        converted[f'decode_head.fov_downsample.{tensor_name}'] = state.take(
            f'fov.downsample.0.{tensor_name}'
        )
    return converted | state.take_all(
        'fov.head.', lambda name: name.replace('fov.head.', 'decode_head.fov_head.')
    )


def _encoder_name(name: str) -> str:
    name = name.removeprefix('encoder.')
    for published, ours in _ENCODER_NAMES:
        name = name.replace(published, ours)
    return f'backbone.{name}'


def _decoder_name(name: str) -> str:
    name = name.removeprefix('decoder.')
    for pattern, replacement in _FUSION_NAMES:
        name = re.sub(pattern, replacement, name)
    return f'decode_head.{name}'
