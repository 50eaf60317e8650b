"""Converter of Metric3D: v2 (ViT, recurrent refinement) and v1 (ConvNeXt, hourglass)."""

import re

from torch import Tensor

from .state import PublishedFile, PublishedState, register_converter

_ENCODER_RULES = (
    (r'^blocks\.0\.', 'blocks.'),  # all blocks are in one chunk
    (r'^register_tokens$', 'reg_token'),
    (r'\.mlp\.w12\.', '.mlp.fc1.'),  # SwiGLU of giant2
    (r'\.mlp\.w3\.', '.mlp.fc2.'),
)
_DECODER_RULES = (
    (r'^context_feature_encoder\.outputs04\.', 'level.0.'),
    (r'^context_feature_encoder\.outputs08\.', 'level.1.'),
    (r'^context_feature_encoder\.outputs16\.', 'level.2.'),
    (r'^level\.(\d)\.0\.', r'hidden_init.\1.'),
    (r'^level\.(\d)\.1\.', r'contexts.\1.'),
    (r'^(hidden_init|contexts)\.(\d)\.0\.downsample\.0\.', r'\1.\2.skip.'),
    (r'^(hidden_init|contexts)\.(\d)\.0\.downsample\.1\.', r'\1.\2.skip_norm.'),
    (r'^(hidden_init|contexts)\.(\d)\.0\.', r'\1.\2.'),
    (r'^(hidden_init|contexts)\.(\d)\.1\.', r'\1.\2.project.'),
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
_CONVNEXT_RULES = (
    (r'^downsample_layers\.0\.(\d)\.', r'stem_\1.'),
    (r'^downsample_layers\.(\d)\.', r'stages_\1.downsample.'),
    (r'^stages\.(\d)\.(\d+)\.', r'stages_\1.blocks.\2.'),
    (r'\.dwconv\.', '.conv_dw.'),
    (r'\.pwconv1\.', '.mlp.fc1.'),
    (r'\.pwconv2\.', '.mlp.fc2.'),
)
_HOURGLASS_RULES = (
    (r'^decoder_mono\.upconv_(\d)_0\.conv\.(?:1\.)?', r'up_\1.reduce.conv.'),
    (r'^decoder_mono\.upconv_(\d)_1\.conv_2\.', r'up_\1.project.conv.'),
    (r'^decoder_mono\.upconv_(\d)_1\.conv\.(?:1\.)?', r'up_\1.mix.conv.'),
    (r'^up_1\.', 'up4.'),
    (r'^up_2\.', 'up8.'),
    (r'^up_3\.', 'up16.'),
    (r'^conv_out_2\.conv0\.', 'hourglass.stem.'),
    (r'^conv_out_2\.conv_(\d)\.', r'hourglass.downs.\1.'),
    (r'^conv_out_2\.deconv_(\d)\.', r'hourglass.ups.\1.'),
    (r'^conv_out_2\.prob\.', 'hourglass.project.'),
    (r'^depth_regressor_2\.', 'bin_logits.'),
    (r'^conv_up_2\.', 'residual.'),
)
_FILES = 'https://huggingface.co/JUGGHM/Metric3D/resolve/main'


@register_converter(
    'metric3d',
    code_licence='BSD-2-Clause',
    weights_licence='no statement of their own; the authors ask to be contacted for commercial use',
    url='https://huggingface.co/JUGGHM/Metric3D',
    files=dict(
        metric_depth_vit_small_800k='metric3dv2_vits',
        metric_depth_vit_large_800k='metric3dv2_vitl',
        metric_depth_vit_giant2_800k='metric3dv2_vitg',
        convtiny_hourglass_v1='metric3dv1_convtiny',
    )
    | {'convlarge_hourglass_0.3_150_step750k_v1.1': 'metric3dv1_convlarge'},
    downloads=dict(
        metric3dv2_vits=PublishedFile(f'{_FILES}/metric_depth_vit_small_800k.pth'),
        metric3dv2_vitl=PublishedFile(f'{_FILES}/metric_depth_vit_large_800k.pth'),
        metric3dv2_vitg=PublishedFile(f'{_FILES}/metric_depth_vit_giant2_800k.pth'),
        metric3dv1_convtiny=PublishedFile(f'{_FILES}/convtiny_hourglass_v1.pth'),
        metric3dv1_convlarge=PublishedFile(
            f'{_FILES}/convlarge_hourglass_0.3_150_step750k_v1.1.pth'
        ),
    ),
)
def convert_metric3d(state: PublishedState) -> dict[str, Tensor]:
    """Rename encoder and decoder of a ViT (v2) or a ConvNeXt (v1)."""
    encoder, decoder = 'depth_model.encoder.', 'depth_model.decoder.'
    if state.names(f'{encoder}downsample_layers.'):
        converted = state.take_all(encoder, lambda name: _renamed(name, encoder, _CONVNEXT_RULES))
        converted |= state.take_all(decoder, lambda name: _renamed(name, decoder, _HOURGLASS_RULES))
        return converted
    return _convert_v2(state, encoder, decoder)


def _convert_v2(state: PublishedState, encoder: str, decoder: str) -> dict[str, Tensor]:
    """Rename encoder and decoder of v2.

    The class token absorbs its entry of the position code, as timm has none for it.
    ``norm3`` and ``downsample.1`` of a residual block are one tensor under two names; the published
    module holds what is loaded last, ``downsample.1``.
    """
    state.drop(rf'^{re.escape(encoder)}mask_token$')
    state.drop(rf'^{re.escape(decoder)}context_feature_encoder\..*\.norm3\.')
    if state.names(f'{encoder}blocks.0.0.mlp.w12.'):
        # giant2 takes four blocks without the encoder's last norm, which its file holds all the
        # same.
        state.drop(rf'^{re.escape(encoder)}norm\.')
    position = state.take(f'{encoder}pos_embed')
    class_token = state.take(f'{encoder}cls_token')
    converted = {
        'backbone.net.cls_token': class_token + position[:, :1],
        'backbone.net.pos_embed': position[:, 1:],
    }
    converted |= state.take_all(encoder, lambda name: _renamed(name, encoder, _ENCODER_RULES))
    converted |= state.take_all(decoder, lambda name: _renamed(name, decoder, _DECODER_RULES))
    return converted


_PREFIXES = {'depth_model.encoder.': 'backbone.net.', 'depth_model.decoder.': 'decode_head.'}


def _renamed(name: str, prefix: str, rules: tuple) -> str:
    """Return our name of an entry below ``prefix``; the rules apply one after the other."""
    renamed = name.removeprefix(prefix)
    for pattern, replacement in rules:
        renamed = re.sub(pattern, replacement, renamed)
    return _PREFIXES[prefix] + renamed
