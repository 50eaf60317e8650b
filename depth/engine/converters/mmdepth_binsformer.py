"""BinsFormer as in RuijieZhu94/mmdepth."""

from torch import Tensor

from depth.registry import CONVERTERS

from .mask_heads import LAYER_RULES, convert_mask_head
from .state import PublishedState
from .swin import convert_swin

_RULES = (
    (r'^transformer_decoder\.post_norm\.', 'decoder_norm.'),
    (r'^transformer_decoder\.', ''),
    (r'^decoder_input_proj\.', 'input_proj.'),
    (r'^cls_embed\.', 'bins_embed.'),
    *LAYER_RULES,
)


@CONVERTERS.register_module(name='mmdepth_binsformer')
def convert_mmdepth_binsformer(state: PublishedState) -> dict[str, Tensor]:
    """Rename Swin and head."""
    return {**convert_swin(state, 'backbone.', 'backbone.'), **convert_mask_head(state, _RULES)}


convert_mmdepth_binsformer.folder = 'binsformer'
