"""Converter of published ScaleDepth checkpoints (RuijieZhu94/mmdepth)."""

import re

from torch import Tensor

from depth.engine.converters import (
    MASK2FORMER_RULES,
    PublishedState,
    convert_mask_head,
    convert_swin,
)
from depth.registry import CONVERTERS

# Published files hold CLIP's text tower and projections, which the depth network never uses.
UNUSED = (
    r'^backbone\.clip_model\.(positional_embedding|text_projection|logit_scale|transformer\.|token_embedding\.|ln_final\.'
    r'|attn_mask$|visual\.(trunk\.)?head\.)'
)
# Layers of a ConvNeXt block: mmpretrain's name to timm's.
LAYER_NAMES = dict(depthwise_conv='conv_dw', pointwise_conv1='mlp.fc1', pointwise_conv2='mlp.fc2')
CLIP_TRUNK = 'backbone.clip_model.visual.trunk.'
_RULES = (
    *MASK2FORMER_RULES,
    (r'^cls_embed\.', 'bins_embed.'),
    (r'^scale_predictor\.fc\.', 'scale_predictor.'),
)


@CONVERTERS.register_module(name='scaledepth')
def convert_scaledepth(state: PublishedState) -> dict[str, Tensor]:
    """Rename the parameters of the trunk and of the head.

    The trunk is a Swin, a ConvNeXt of mmpretrain or a ConvNeXt of open_clip.
    """
    state.drop(UNUSED)
    return {**_convert_trunk(state), **convert_mask_head(state, _RULES)}


def _convert_trunk(state: PublishedState) -> dict[str, Tensor]:
    if state.names(CLIP_TRUNK):
        return state.take_all(CLIP_TRUNK, _rename_open_clip)
    if state.names('backbone.downsample_layers.'):  # only mmpretrain's ConvNeXt has these
        return state.take_all('backbone.', _rename_mmpretrain)
    return convert_swin(state, 'backbone.', 'backbone.')


def _rename_open_clip(name: str) -> str:
    """Return our name of a parameter of open_clip's ConvNeXt."""
    # timm's feature networks join a stage and its number: stages.0 becomes stages_0.
    name = re.sub(r'^(stem|stages)\.(\d+)\.', r'\1_\2.', name.removeprefix(CLIP_TRUNK))
    return f'backbone.net.{name}'


def _rename_mmpretrain(name: str) -> str:
    """Return our name of a parameter of mmpretrain's ConvNeXt."""
    name = name.removeprefix('backbone.')
    norm = re.match(r'norm(\d)\.(.+)', name)
    if norm:
        return f'backbone.out_norms.{norm[1]}.{norm[2]}'
    name = re.sub(r'^downsample_layers\.0\.(\d)\.', r'stem_\1.', name)
    name = re.sub(r'^downsample_layers\.(\d)\.(\d)\.', r'stages_\1.downsample.\2.', name)
    name = re.sub(r'^stages\.(\d)\.(\d+)\.', r'stages_\1.blocks.\2.', name)
    for published, renamed in LAYER_NAMES.items():
        name = name.replace(published, renamed)
    return f'backbone.net.{name}'
