"""Converter of Metric3D v2 (ViT with recurrent refinement), published in YvanYin/Metric3D."""

import re

from torch import Tensor

from .state import PublishedState, register_converter

_ENCODER_RULES = (
    (r'^blocks\.0\.', 'blocks.'),  # all blocks are in one chunk
    (r'^register_tokens$', 'reg_token'),
    (r'\.mlp\.w12\.', '.mlp.fc1.'),  # SwiGLU of giant2
    (r'\.mlp\.w3\.', '.mlp.fc2.'),
)
_LEVELS = {'04': 0, '08': 1, '16': 2}
_BRANCHES = ('hidden_init', 'contexts')
_DECODER_RULES = (
    (r'^token2feature\.read_(\d)\.readoper\.project_patch\.', r'readouts.\1.patch.'),
    (r'^token2feature\.read_(\d)\.readoper\.project_learn\.', r'readouts.\1.prefix.'),
    (r'^token2feature\.read_1\.sample\.', 'to_stride7.'),
    (r'^token2feature\.read_0\.sample\.0\.', 'to_stride4.'),
    (r'^decoder_mono\.upconv_3\.', 'fuse_coarse.'),
    (r'^decoder_mono\.upconv_2\.', 'fuse_middle.'),
    (r'^decoder_mono\.upconv_1\.', 'fuse_fine.'),
    (r'\.way_trunk\.', '.trunk.'),
    (r'\.way_branch\.', '.branch.'),
    (r'\.out_conv\.', '.project.'),
    (r'^depth_regressor\.', 'bin_logits.'),
    (r'^normal_predictor\.', 'normal_init.'),
    (r'^context_zqr_convs\.', 'gate_contexts.'),
    (r'^update_block\.gru08\.', 'update.gru4.'),
    (r'^update_block\.gru16\.', 'update.gru7.'),
    (r'^update_block\.gru32\.', 'update.gru14.'),
    (r'\.convz\.', '.update.'),
    (r'\.convr\.', '.reset.'),
    (r'\.convq\.', '.candidate.'),
    (r'^update_block\.flow_head\.conv1d\.', 'update.depth_delta.0.'),
    (r'^update_block\.flow_head\.conv2d\.', 'update.depth_delta.2.'),
    (r'^update_block\.flow_head\.conv1n\.', 'update.normal_delta.0.'),
    (r'^update_block\.flow_head\.conv2n\.', 'update.normal_delta.2.'),
    (r'^update_block\.mask\.', 'update.mask.'),
)


@register_converter('metric3d')
def convert_metric3d(state: PublishedState) -> dict[str, Tensor]:
    """Rename encoder and decoder.

    The class token absorbs its entry of the position code, as timm has none for it.
    ``norm3`` and ``downsample.1`` of a residual block are one tensor under two names; the published
    module holds what is loaded last, ``downsample.1``.
    """
    encoder, decoder = 'depth_model.encoder.', 'depth_model.decoder.'
    state.drop(rf'^{re.escape(encoder)}mask_token$')
    state.drop(rf'^{re.escape(decoder)}context_feature_encoder\..*\.norm3\.')
    position = state.take(f'{encoder}pos_embed')
    class_token = state.take(f'{encoder}cls_token')
    return {
        'backbone.net.cls_token': class_token + position[:, :1],
        'backbone.net.pos_embed': position[:, 1:],
        **state.take_all(encoder, lambda name: _encoder_name(name.removeprefix(encoder))),
        **state.take_all(decoder, lambda name: _decoder_name(name.removeprefix(decoder))),
    }


def _encoder_name(name: str) -> str:
    for pattern, replacement in _ENCODER_RULES:
        name = re.sub(pattern, replacement, name)
    return f'backbone.net.{name}'


def _decoder_name(name: str) -> str:
    name = re.sub(r'^context_feature_encoder\.outputs(\d\d)\.(\d)\.(.*)', _context_name, name)
    for pattern, replacement in _DECODER_RULES:
        name = re.sub(pattern, replacement, name)
    return f'decode_head.{name}'


def _context_name(match: re.Match) -> str:
    """Return the name of an entry of the hidden or the context branch of one level."""
    layer = match[3]
    for old, new in (
        ('0.downsample.0.', 'skip.'),
        ('0.downsample.1.', 'skip_norm.'),
        ('0.', ''),
        ('1.', 'project.'),
    ):
        if layer.startswith(old):
            layer = new + layer.removeprefix(old)
            break
    return f'{_BRANCHES[int(match[2])]}.{_LEVELS[match[1]]}.{layer}'
