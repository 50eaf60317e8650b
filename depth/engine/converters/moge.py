"""Converter of MoGe-2, published in microsoft/MoGe."""

import re
from collections.abc import Mapping

from torch import Tensor

from .depth_anything import convert_dinov2
from .state import PublishedFile, PublishedState, register_converter

_CONV_STACK_NAMES = (
    (r'\.input_blocks\.', '.inputs.'),
    (r'\.res_blocks\.', '.blocks.'),
    (r'\.layers\.2\.', '.conv1.'),
    (r'\.layers\.5\.', '.conv2.'),
    (r'\.output_blocks\.4\.', '.output.'),
)


_NECK_AND_HEADS = ('neck', 'points_head', 'normal_head', 'mask_head')
_RESAMPLERS = ['conv_transpose', 'conv_transpose', 'conv_transpose', 'bilinear']


def moge2_options(checkpoint: Mapping) -> dict:
    """Return the options that a published file states in ``model_config``.

    The released S and B models have decoders of their own widths.

    Raises:
        ValueError: If the file has a layer that is not built here; key and value are named.
    """
    stated = checkpoint.get('model_config')
    if not isinstance(stated, Mapping) or 'neck' not in stated:
        return {}
    channels = list(stated['neck']['dim_res_blocks'])
    expected = {
        'remap_output': (stated.get('remap_output', 'exp'), 'exp'),
        'encoder.dim_out': (stated['encoder']['dim_out'], channels[0]),
        'scale_head.dims': (list(stated['scale_head']['dims'][1:]), [channels[0], channels[0], 1]),
    }
    for module in _NECK_AND_HEADS:
        options = stated[module]
        expected |= {
            f'{module}.dim_res_blocks': (list(options['dim_res_blocks']), channels),
            f'{module}.resamplers': (list(options['resamplers']), _RESAMPLERS),
            f'{module}.res_block_in_norm': (options.get('res_block_in_norm', 'none'), 'none'),
            f'{module}.res_block_hidden_norm': (
                options.get('res_block_hidden_norm', 'none'),
                'none',
            ),
        }
        if module != 'neck':
            blocks = stated['points_head']['num_res_blocks']
            expected[f'{module}.num_res_blocks'] = (options['num_res_blocks'], blocks)
    for key, (value, supported) in expected.items():
        if value != supported:
            raise ValueError(
                f'model_config.{key} of the file is {value}, built here is {supported}'
            )
    layers = stated['encoder']['intermediate_layers']
    if isinstance(layers, int):  # that many of the last blocks
        layers = range(-layers, 0)
    return {
        'model.backbone.out_indices': list(layers),
        'model.decode_head.channels': channels,
        'model.decode_head.neck_blocks': list(stated['neck']['num_res_blocks']),
        'model.decode_head.head_blocks': list(stated['points_head']['num_res_blocks']),
    }


_HUB = 'https://huggingface.co/Ruicheng'


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
    stated_options=moge2_options,
    downloads={
        'moge2_vits': PublishedFile(f'{_HUB}/moge-2-vits-normal/resolve/main/model.pt'),
        'moge2_vitb': PublishedFile(f'{_HUB}/moge-2-vitb-normal/resolve/main/model.pt'),
        'moge2_vitl': PublishedFile(f'{_HUB}/moge-2-vitl-normal/resolve/main/model.pt'),
    },
)
def convert_moge2(state: PublishedState) -> dict[str, Tensor]:
    """Rename the encoder to timm's names, and the convolution stacks.

    The mask token serves the pre-training alone; mean and deviation of the image are the
    preprocessor's.
    """
    state.drop(r'^encoder\.(image_mean|image_std|backbone\.mask_token)$')
    converted = convert_dinov2(state, 'encoder.backbone.')
    converted |= state.take_all(
        'encoder.output_projections.',
        lambda name: name.replace('encoder.output_projections.', 'decode_head.projections.'),
    )
    for stack in ('neck', 'points_head', 'normal_head', 'mask_head', 'scale_head'):
        converted |= state.take_all(f'{stack}.', _stack_name)
    return converted


def _stack_name(name: str) -> str:
    for pattern, replacement in _CONV_STACK_NAMES:
        name = re.sub(pattern, replacement, name)
    return f'decode_head.{name}'
