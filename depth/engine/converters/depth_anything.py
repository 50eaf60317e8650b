"""Converters of Depth Anything V2 and of Depth Anything 3 (single view).

The encoders are DINOv2 with timm's names; the decoders share the published names of MiDaS's fusion.
"""

import re

from torch import Tensor

from .state import PublishedFile, PublishedState, register_converter

_WEIGHTS_V2 = (
    'Small: Apache-2.0; Base, Large, Giant: CC-BY-NC-4.0 (non-commercial); no statement of their '
    'own for the six metric models'
)
_FILES_V2 = {}
for _size in ('vits', 'vitb', 'vitl', 'vitg'):
    _FILES_V2[f'depth_anything_v2_{_size}'] = f'depth_anything_v2_{_size}_relative'
for _size in ('vits', 'vitb', 'vitl'):
    # The far end of the range, 20 or 80 m, is in the name of the file alone.
    _FILES_V2[f'depth_anything_v2_metric_hypersim_{_size}'] = f'depth_anything_v2_{_size}_hypersim'
    _FILES_V2[f'depth_anything_v2_metric_vkitti_{_size}'] = f'depth_anything_v2_{_size}_vkitti2'
_HUB = 'https://huggingface.co/depth-anything'
# No address is recorded for the giant's file.
_DOWNLOADS_V2 = {
    'depth_anything_v2_vits_relative': PublishedFile(
        f'{_HUB}/Depth-Anything-V2-Small/resolve/main/depth_anything_v2_vits.pth', 'Apache-2.0'
    ),
    'depth_anything_v2_vitb_relative': PublishedFile(
        f'{_HUB}/Depth-Anything-V2-Base/resolve/main/depth_anything_v2_vitb.pth', 'CC-BY-NC-4.0'
    ),
    'depth_anything_v2_vitl_relative': PublishedFile(
        f'{_HUB}/Depth-Anything-V2-Large/resolve/main/depth_anything_v2_vitl.pth', 'CC-BY-NC-4.0'
    ),
}
for _size, _name in dict(vits='Small', vitb='Base', vitl='Large').items():
    for _data, _published in dict(hypersim='Hypersim', vkitti2='VKITTI').items():
        _file = f'depth_anything_v2_metric_{_published.lower()}_{_size}.pth'
        _DOWNLOADS_V2[f'depth_anything_v2_{_size}_{_data}'] = PublishedFile(
            f'{_HUB}/Depth-Anything-V2-Metric-{_published}-{_name}/resolve/main/{_file}'
        )


@register_converter(
    'depth_anything_v2',
    'depth_anything',
    code_licence='Apache-2.0',
    weights_licence=_WEIGHTS_V2,
    url='https://github.com/DepthAnything/Depth-Anything-V2',
    files=_FILES_V2,
    downloads=_DOWNLOADS_V2,
)
def convert_depth_anything_v2(state: PublishedState) -> dict[str, Tensor]:
    """Rename encoder and decoder; two parts that the published network never uses are dropped."""
    state.drop(r'^pretrained\.mask_token$')
    state.drop(r'^depth_head\.scratch\.refinenet4\.resConfUnit1\.')
    return {
        **convert_dinov2(state, 'pretrained.'),
        **convert_dpt_decoder(state, 'depth_head.'),
    }


@register_converter(
    'depth_anything_3',
    'depth_anything',
    code_licence='Apache-2.0',
    weights_licence='DA3MONO-LARGE, DA3METRIC-LARGE: Apache-2.0',
    url='https://github.com/ByteDance-Seed/Depth-Anything-3',
    files={
        'DA3MONO-LARGE': 'depth_anything_3_mono_vitl',
        'DA3METRIC-LARGE': 'depth_anything_3_metric_vitl',
    },
    downloads={
        'depth_anything_3_mono_vitl': PublishedFile(
            f'{_HUB}/DA3MONO-LARGE/resolve/main/model.safetensors', 'Apache-2.0'
        ),
        'depth_anything_3_metric_vitl': PublishedFile(
            f'{_HUB}/DA3METRIC-LARGE/resolve/main/model.safetensors', 'Apache-2.0'
        ),
    },
)
def convert_depth_anything_3(state: PublishedState) -> dict[str, Tensor]:
    """Rename encoder, decoder and sky layers, of the current and of earlier files."""
    weights = {}
    for name in state.names():
        weights[_current_da3_name(name)] = state.take(name)
    renamed = PublishedState(weights, state.source)
    converted = {
        **convert_dinov2(renamed, 'backbone.pretrained.'),
        **convert_dpt_decoder(renamed, 'head.'),
    }
    renamed.finish()
    return converted


def convert_dinov2(state: PublishedState, prefix: str) -> dict[str, Tensor]:
    """Return the weights of a DINOv2 encoder below ``prefix`` for a :class:`ViTBackbone`.

    The names are timm's, except those of the giant's gated MLP.
    """

    def rename(name: str) -> str:
        name = name.removeprefix(prefix).replace('.mlp.w12.', '.mlp.fc1.')
        return f'backbone.net.{name.replace(".mlp.w3.", ".mlp.fc2.")}'

    return state.take_all(prefix, rename)


# Published levels count from the finest, fusion blocks ("refinenet") likewise; ours run coarse to
# fine.
_DECODER_RULES = (
    (r'^(projects|resize_layers)\.', r'pyramid.\1.'),
    (r'^scratch\.output_conv1\.', 'conv.'),
    (r'^scratch\.output_conv2\.', 'output.'),
    (r'^scratch\.sky_output_conv2\.', 'sky_output.'),
    (r'\.resConfUnit1\.', '.skip_unit.'),
    (r'\.resConfUnit2\.', '.unit.'),
    (r'\.out_conv\.', '.project.'),
)


def convert_dpt_decoder(state: PublishedState, prefix: str) -> dict[str, Tensor]:
    """Return the weights of a DPT decoder below ``prefix`` for a :class:`DepthAnythingDecoder`."""

    def rename(name: str) -> str:
        name = name.removeprefix(prefix)
        for pattern, replacement in _DECODER_RULES:
            name = re.sub(pattern, replacement, name)
        name = re.sub(r'^scratch\.layer(\d)_rn\.', _reduce_name, name)
        name = re.sub(r'^scratch\.refinenet(\d)\.', _block_name, name)
        return f'decode_head.{name}'

    return state.take_all(prefix, rename)


def _reduce_name(match: re.Match) -> str:
    return f'fusion.reduce.{int(match[1]) - 1}.'


def _block_name(match: re.Match) -> str:
    return f'fusion.blocks.{4 - int(match[1])}.'


def _current_da3_name(name: str) -> str:
    """Return the name of an entry without the wrapper, with the renamings of earlier releases."""
    # Released files differ in the wrapper around the network, and in the names of two parts.
    name = re.sub(r'^(module\.|model\.)+', '', name)
    name = re.sub(r'^net\.', 'backbone.', name)
    name = re.sub(r'^all_heads\.head\.', 'head.', name)
    return name.replace('output_conv2_additional.sky_mask.', 'sky_output_conv2.')
