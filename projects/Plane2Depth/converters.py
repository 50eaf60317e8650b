"""Converter of published Plane2Depth checkpoints (RuijieZhu94/mmdepth)."""

from torch import Tensor

from depth.engine.converters import (
    MASK2FORMER_RULES,
    PublishedState,
    convert_mask_head,
    convert_swin,
)
from depth.registry import CONVERTERS

_RULES = (
    *MASK2FORMER_RULES,
    (r'^cls_embed\.', 'distance_embed.'),
    (r'^coef_embed\.', 'normal_embed.'),
)


@CONVERTERS.register_module(name='plane2depth')
def convert_plane2depth(state: PublishedState) -> dict[str, Tensor]:
    """Rename the parameters of the Swin backbone and of the head."""
    # Fixed pixel grids of the published loss, which only some files hold.
    state.drop(r'^decode_head\.dn_to_distance\.')
    return {**convert_swin(state, 'backbone.', 'backbone.'), **convert_mask_head(state, _RULES)}
