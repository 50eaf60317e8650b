"""Converter of MoGe-2, published in microsoft/MoGe."""

import re

from torch import Tensor

from .depth_anything import convert_dinov2
from .state import PublishedState, register_converter

_CONV_STACK_NAMES = (
    (r'\.input_blocks\.', '.inputs.'),
    (r'\.res_blocks\.', '.blocks.'),
    (r'\.layers\.2\.', '.conv1.'),
    (r'\.layers\.5\.', '.conv2.'),
    (r'\.output_blocks\.4\.', '.output.'),
)


@register_converter(
    'moge2',
    config_folder='moge',
    code_licence='MIT; moge/model/dinov2 Apache-2.0',
    weights_licence='not stated in the repository',
    url='https://github.com/microsoft/MoGe',
    files={
        'moge-2-vits-normal': 'moge2_vits',
        'moge-2-vitb-normal': 'moge2_vitb',
        'moge-2-vitl-normal': 'moge2_vitl',
    },
)
def convert_moge2(state: PublishedState) -> dict[str, Tensor]:
    """Rename the encoder to timm's names, and the convolution stacks.

    The mask token serves the pre-training alone; mean and deviation of the image are the
    preprocessor's.
    """
    state.drop(r'^encoder\.(image_mean|image_std|backbone\.mask_token)$')
    return {
        **convert_dinov2(state, 'encoder.backbone.'),
        **state.take_all(
            'encoder.output_projections.',
            lambda name: name.replace('encoder.output_projections.', 'decode_head.projections.'),
        ),
        **state.take_all('neck.', _stack_name),
        **state.take_all('points_head.', _stack_name),
        **state.take_all('normal_head.', _stack_name),
        **state.take_all('mask_head.', _stack_name),
        **state.take_all('scale_head.', _stack_name),
    }


def _stack_name(name: str) -> str:
    for pattern, replacement in _CONV_STACK_NAMES:
        name = re.sub(pattern, replacement, name)
    return f'decode_head.{name}'
