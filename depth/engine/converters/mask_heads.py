"""Names of heads that mmdet's MaskFormer and Mask2Former share, as mmdepth's methods have them."""

import re

from torch import Tensor

from .state import PublishedState

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
    """Take everything below ``decode_head.`` and rename it by ``rules`` (pattern, replacement), applied in order."""
    converted = {}
    for name in state.names('decode_head.'):
        ours = name.removeprefix('decode_head.')
        for pattern, replacement in rules:
            ours = re.sub(pattern, replacement, ours)
        converted[f'decode_head.{ours}'] = state.take(name)
    return converted
