"""BinsFormer as published in zhyever/Monocular-Depth-Estimation-Toolbox."""

import re

from torch import Tensor

from depth.registry import CONVERTERS

from .state import PublishedState
from .swin import convert_swin

# What the published network holds and never uses.
UNUSED = (
    r'^decode_head\.'
    r'(conv_depth|transformer_decoder\.(decoder\.)?post_norm|transformer_encoder\.reference_points)\.'
)
_RULES = (
    (r'^transformer_encoder\.level_embeds$', 'encoder.level_embed'),
    (r'^transformer_encoder\.encoder\.layers\.(\d+)\.attentions\.0\.', r'encoder.layers.\1.self_attn.'),
    (r'^transformer_encoder\.encoder\.layers\.', 'encoder.layers.'),
    (r'^transformer_decoder\.layers\.(\d+)\.attentions\.0\.attn\.', r'layers.\1.cross_attn.'),
    (r'^transformer_decoder\.layers\.(\d+)\.attentions\.1\.attn\.', r'layers.\1.self_attn.'),
    (r'^transformer_decoder\.', ''),
    (r'\.ffns\.0\.layers\.0\.0\.', '.ffn.layers.0.'),
    (r'\.ffns\.0\.layers\.1\.', '.ffn.layers.3.'),
    # The published tables are named the wrong way round: "feat" is added as the position.
    (r'^query_feat\.', 'query_position.'),
    (r'^query_embed\.', 'query_feat.'),
    (r'^query_position\.', 'query_embed.'),
)


@CONVERTERS.register_module(name='binsformer')
def convert_binsformer(state: PublishedState) -> dict[str, Tensor]:
    """Rename Swin and head; files with and without the extra ``.decoder`` in decoder names are read."""
    state.drop(UNUSED)
    converted = convert_swin(state, 'backbone.', 'backbone.')
    for name in state.names('decode_head.'):
        ours = _our_name(
            name.removeprefix('decode_head.').replace('transformer_decoder.decoder.', 'transformer_decoder.')
        )
        converted[f'decode_head.{ours}'] = state.take(name)
    return converted


def _our_name(name: str) -> str:
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    # Layers of an MLP are numbered with the ReLUs between them.
    return re.sub(r'^(mask_embed|class_embed)\.layers\.(\d)', lambda match: f'{match[1]}.{2 * int(match[2])}', name)
