"""Conversion of the published dense Swin (MMSegmentation's names) to timm's."""

import re

from torch import Tensor

from .state import PublishedState

_RULES = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^stages\.(\d+)\.', r'layers_\1.'),
    (r'\.attn\.w_msa\.', '.attn.'),
    (r'\.ffn\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.ffn\.layers\.1\.', '.mlp.fc2.'),
)


def convert_swin(state: PublishedState, prefix: str, target: str) -> dict[str, Tensor]:
    """Convert a Swin to a :class:`~depth.models.backbones.TimmBackbone` with ``out_norm='LN'``.

    Position indices, which follow from the window and are not in every file, are dropped.

    Args:
        state: Published weights; those below ``prefix`` that belong to Swin are taken.
        prefix: Prefix of the Swin in the published model, for example ``'backbone.'``.
        target: Prefix of the Swin in the converted model, for example ``'backbone.'``.
    """
    state.drop(rf'^{re.escape(prefix)}.*\.relative_position_index$')
    converted = {}
    for group in ('patch_embed.', 'stages.', 'norm'):
        for name in state.names(prefix + group):
            value = state.take(name)
            timm_name = _timm_name(name.removeprefix(prefix))
            if '.downsample.' in timm_name:
                value = _to_position_major(value)
            converted[target + timm_name] = value
    return converted


def _timm_name(name: str) -> str:
    norm = re.match(r'norm(\d+)\.(.+)', name)
    if norm:
        return f'out_norms.{norm[1]}.{norm[2]}'
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    # timm has the patch merging at the start of the next stage, the published code at the end.
    name = re.sub(
        r'^layers_(\d+)\.downsample', lambda match: f'layers_{int(match[1]) + 1}.downsample', name
    )
    return f'net.{name}'


def _to_position_major(value: Tensor) -> Tensor:
    """Re-order the merged channels (..., 4C) of a patch merging from published to timm's order.

    The published index is channel * 4 + position, with the 2x2 positions row by row; timm's is
    position * C + channel, with the positions column by column.
    """
    by_position = value.unflatten(-1, (-1, 4))[..., [0, 2, 1, 3]]  # (..., C, 4)
    return by_position.transpose(-1, -2).flatten(-2).contiguous()
