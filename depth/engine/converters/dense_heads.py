"""Converters of zhyever/Monocular-Depth-Estimation-Toolbox's heads that regress depth.

Their heads keep the published names; backbones are renamed to those of timm.
"""

import re

from torch import Tensor

from .state import PublishedState, register_converter
from .swin import convert_swin


@register_converter('depthformer')
def convert_depthformer(state: PublishedState) -> dict[str, Tensor]:
    """Rename the Swin; stem, neck and head have the published names."""
    converted = convert_swin(state, 'backbone.', 'backbone.transformer.')
    for prefix in ('backbone.conv1.', 'backbone.bn1.', 'neck.', 'decode_head.'):
        converted |= state.take_all(prefix)
    return converted


@register_converter('newcrfs')
def convert_newcrfs(state: PublishedState) -> dict[str, Tensor]:
    """Rename the Swin; neck and head are as published. Position indices follow from the window."""
    state.drop(r'^decode_head\..*\.relative_position_index$')
    converted = convert_swin(state, 'backbone.', 'backbone.')
    converted |= state.take_all('neck.')
    converted |= state.take_all('decode_head.')
    return converted


_BTS_DILATIONS = (3, 6, 12, 18, 24)
# Level numbers are strides' logarithms in the published file and count from the coarsest one here.
_BTS_LEVELS = (
    (r'^upconv(\d)\.conv\.', 'up.{}.conv.0.'),
    (r'^bn(\d)\.', 'norms.{}.'),
    (r'^conv(\d)\.', 'convs.{}.'),
)
_BTS_CELLS = {
    'reduc8x8.': 'planes.0.reduce.',
    'reduc4x4.': 'planes.1.reduce.',
    'reduc2x2.': 'planes.2.reduce.',
}


@register_converter('bts')
def convert_bts(state: PublishedState) -> dict[str, Tensor]:
    """Rename ResNet and head; layers of a chain are numbered by their order in the file."""
    converted = state.take_all(
        'backbone.', lambda name: f'backbone.net.{name.removeprefix("backbone.")}'
    )
    chains = _BTS_CELLS | {'reduc1x1.': 'reduce.'}
    for old, new in chains.items():
        for index, name in enumerate(state.names(f'decode_head.{old}')):
            converted[f'decode_head.{new}{2 * index}.weight'] = state.take(name)
    return converted | state.take_all('decode_head.', _bts_head_name)


def _bts_head_name(name: str) -> str:
    name = name.removeprefix('decode_head.')
    for pattern, replacement in _BTS_LEVELS:
        match = re.match(pattern, name)
        if match:
            return f'decode_head.{replacement.format(5 - int(match[1]))}{name[match.end() :]}'
    name = re.sub(r'^daspp_(\d+)\.atrous_conv\.', _bts_block_name, name)
    name = re.sub(r'(aspp\.blocks\.\d+)\.first_bn\.', r'\1.0.', name)
    name = re.sub(r'(aspp\.blocks\.\d+)\.aconv_sequence\.(\d)\.', _bts_layer_name, name)
    return 'decode_head.' + name.replace('bn4_2.', 'aspp_norm.').replace(
        'daspp_conv.', 'aspp.fuse.'
    )


def _bts_block_name(match: re.Match) -> str:
    return f'aspp.blocks.{_BTS_DILATIONS.index(int(match[1]))}.'


def _bts_layer_name(match: re.Match) -> str:
    """Number the layers after the first norm, which the first block does not have."""
    return f'{match[1]}.{int(match[2]) + (not match[1].endswith(".0"))}.'


@register_converter('adabins')
def convert_adabins(state: PublishedState) -> dict[str, Tensor]:
    """Rename the EfficientNet or ResNet; the head has the published names.

    Layers that the published network has but never uses are dropped: the norm after the
    EfficientNet's last convolution and the base head's regression.
    """
    state.drop(r'^backbone\.original_model\.(bn2|global_pool|classifier)\.')
    state.drop(r'^decode_head\.conv_depth\.')
    prefix = 'backbone.original_model.' if state.names('backbone.original_model.') else 'backbone.'
    converted = state.take_all(prefix, lambda name: f'backbone.net.{name.removeprefix(prefix)}')
    return converted | state.take_all('decode_head.')


_DPT_RULES = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^layers\.(\d+)\.', r'blocks.\1.'),
    (r'\.ln(\d)\.', r'.norm\1.'),
    (r'\.attn\.attn\.in_proj_', '.attn.qkv.'),
    (r'\.attn\.attn\.out_proj\.', '.attn.proj.'),
    (r'\.ffn\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.ffn\.layers\.1\.', '.mlp.fc2.'),
)


@register_converter('dpt')
def convert_dpt(state: PublishedState) -> dict[str, Tensor]:
    """Rename the vision transformer; the head has the published names."""
    return state.take_all('backbone.', _dpt_backbone_name) | state.take_all('decode_head.')


def _dpt_backbone_name(name: str) -> str:
    name = name.removeprefix('backbone.')
    for pattern, replacement in _DPT_RULES:
        name = re.sub(pattern, replacement, name)
    return f'backbone.net.model.{name}'


@register_converter('simipu')
def convert_simipu(state: PublishedState) -> dict[str, Tensor]:
    """Rename ResNet and DenseDepth head, or take the image encoder of a pre-training file.

    The encoder alone keeps the names of ResNet, as ``TimmBackbone(checkpoint=...)`` reads them; the
    other networks of the pre-training (point cloud branch, projections) are dropped.
    """
    if state.names('img_backbone.'):
        state.drop(r'^(?!img_backbone\.)')
        return state.take_all('img_backbone.', lambda name: name.removeprefix('img_backbone.'))
    converted = state.take_all(
        'backbone.', lambda name: f'backbone.net.{name.removeprefix("backbone.")}'
    )
    return converted | state.take_all('decode_head.')
