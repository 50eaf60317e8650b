"""Converters of the methods that predict bins from queries: BinsFormer, and the heads of mmdepth.

mmdepth builds on the MaskFormer and Mask2Former heads of mmdet; :func:`convert_mask_head` converts
the names that they share.
"""

import re

from torch import Tensor

from .state import PublishedState, register_converter
from .swin import convert_swin

Rules = tuple[tuple[str, str], ...]
LAYER_RULES: Rules = (
    (r'\.(self|cross)_attn\.attn\.', r'.\1_attn.'),
    (r'\.ffn\.layers\.0\.0\.', '.ffn.layers.0.'),
    (r'\.ffn\.layers\.1\.', '.ffn.layers.3.'),
)
MASK2FORMER_RULES: Rules = (
    (r'^pixel_decoder\.level_encoding\.weight$', 'pixel_decoder.encoder.level_embed'),
    (r'^pixel_decoder\.(lateral|output)_convs\.0\.', r'pixel_decoder.\1_conv.'),
    (r'^(query_embed|query_feat|level_embed|mask_embed)\.', r'decoder.\1.'),
    (r'^transformer_decoder\.', 'decoder.'),
    *LAYER_RULES,
)


def convert_mask_head(state: PublishedState, rules: Rules = MASK2FORMER_RULES) -> dict[str, Tensor]:
    """Rename weights below ``decode_head.`` by rules (pattern, replacement), in order."""
    converted = {}
    for name in state.names('decode_head.'):
        new_name = name.removeprefix('decode_head.')
        for pattern, replacement in rules:
            new_name = re.sub(pattern, replacement, new_name)
        converted[f'decode_head.{new_name}'] = state.take(name)
    return converted


# Layers that the published network has but never uses.
_BINSFORMER_UNUSED = (
    r'^decode_head\.'
    r'(conv_depth|transformer_decoder\.(decoder\.)?post_norm|transformer_encoder\.reference_points)\.'
)
_BINSFORMER_RULES = (
    (r'^transformer_encoder\.level_embeds$', 'encoder.level_embed'),
    (
        r'^transformer_encoder\.encoder\.layers\.(\d+)\.attentions\.0\.',
        r'encoder.layers.\1.self_attn.',
    ),
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


@register_converter('binsformer')
def convert_binsformer(state: PublishedState) -> dict[str, Tensor]:
    """Rename Swin and head; decoder names may have an extra ``.decoder``."""
    state.drop(_BINSFORMER_UNUSED)
    converted = convert_swin(state, 'backbone.', 'backbone.')
    for name in state.names('decode_head.'):
        new_name = name.removeprefix('decode_head.')
        new_name = new_name.replace('transformer_decoder.decoder.', 'transformer_decoder.')
        converted[f'decode_head.{_binsformer_head_name(new_name)}'] = state.take(name)
    return converted


def _binsformer_head_name(name: str) -> str:
    for pattern, replacement in _BINSFORMER_RULES:
        name = re.sub(pattern, replacement, name)
    # In this toolbox the MLP is a Sequential, in which the ReLUs count as layers.
    return re.sub(
        r'^(mask_embed|class_embed)\.layers\.(\d)',
        lambda match: f'{match[1]}.{2 * int(match[2])}',
        name,
    )


_MMDEPTH_BINSFORMER_RULES = (
    (r'^transformer_decoder\.post_norm\.', 'decoder_norm.'),
    (r'^transformer_decoder\.', ''),
    (r'^decoder_input_proj\.', 'input_proj.'),
    (r'^cls_embed\.', 'bins_embed.'),
    *LAYER_RULES,
)


@register_converter('mmdepth_binsformer', config_folder='binsformer')
def convert_mmdepth_binsformer(state: PublishedState) -> dict[str, Tensor]:
    """Rename Swin and head."""
    converted = convert_swin(state, 'backbone.', 'backbone.')
    return converted | convert_mask_head(state, _MMDEPTH_BINSFORMER_RULES)
