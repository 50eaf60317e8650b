"""Published ScaleDepth weights (RuijieZhu94/mmdepth) to ours."""

import re

from torch import Tensor

from depth.engine.converters import MASK2FORMER_RULES, PublishedState, convert_mask_head, convert_swin
from depth.registry import CONVERTERS

# The text tower and the projections of CLIP stay in published files without being used.
UNUSED = (
    r'^backbone\.clip_model\.(positional_embedding|text_projection|logit_scale|transformer\.|token_embedding\.|ln_final\.'
    r'|attn_mask$|visual\.(trunk\.)?head\.)'
)
_RULES = (*MASK2FORMER_RULES, (r'^cls_embed\.', 'bins_embed.'), (r'^scale_predictor\.fc\.', 'scale_predictor.'))


@CONVERTERS.register_module(name='scaledepth')
def convert_scaledepth(state: PublishedState) -> dict[str, Tensor]:
    """Rename trunk and head; the trunk is Swin, mmpretrain's ConvNeXt or open_clip's ConvNeXt."""
    state.drop(UNUSED)
    return {**_convert_trunk(state), **convert_mask_head(state, _RULES)}


def _convert_trunk(state: PublishedState) -> dict[str, Tensor]:
    clip = 'backbone.clip_model.visual.trunk.'
    if state.names(clip):
        return state.take_all(clip, lambda name: 'backbone.net.' + _flatten(name.removeprefix(clip)))
    if state.names('backbone.downsample_layers.'):
        return state.take_all('backbone.', lambda name: 'backbone.' + _from_mmpretrain(name.removeprefix('backbone.')))
    return convert_swin(state, 'backbone.', 'backbone.')


def _flatten(name: str) -> str:
    """Return timm's name of a feature network for the name in the whole network."""
    return re.sub(r'^(stem|stages)\.(\d+)\.', r'\1_\2.', name)


def _from_mmpretrain(name: str) -> str:
    """Return our name for one of mmpretrain's ConvNeXt."""
    norm = re.match(r'norm(\d)\.(.+)', name)
    if norm:
        return f'out_norms.{norm[1]}.{norm[2]}'
    name = re.sub(r'^downsample_layers\.0\.(\d)\.', r'stem_\1.', name)
    name = re.sub(r'^downsample_layers\.(\d)\.(\d)\.', r'stages_\1.downsample.\2.', name)
    name = re.sub(r'^stages\.(\d)\.(\d+)\.', r'stages_\1.blocks.\2.', name)
    for theirs, ours in (('depthwise_conv', 'conv_dw'), ('pointwise_conv1', 'mlp.fc1'), ('pointwise_conv2', 'mlp.fc2')):
        name = name.replace(theirs, ours)
    return f'net.{name}'
