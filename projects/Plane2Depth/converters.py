"""Published Plane2Depth weights (RuijieZhu94/mmdepth) to ours."""

from torch import Tensor

from depth.engine.converters import MASK2FORMER_RULES, PublishedState, convert_mask_head, convert_swin
from depth.registry import CONVERTERS

_RULES = (*MASK2FORMER_RULES, (r'^cls_embed\.', 'distance_embed.'), (r'^coef_embed\.', 'normal_embed.'))


@CONVERTERS.register_module(name='plane2depth')
def convert_plane2depth(state: PublishedState) -> dict[str, Tensor]:
    """Rename Swin and head; files with and without the fixed pixel grids of the published loss are read."""
    state.drop(r'^decode_head\.dn_to_distance\.')
    return {**convert_swin(state, 'backbone.', 'backbone.'), **convert_mask_head(state, _RULES)}
