"""The published dense Swin (MMSegmentation's names) to timm's."""

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
    """Convert a Swin backbone to a :class:`~depth.models.backbones.TimmBackbone` with ``out_norm='LN'``.

    Position indices, which follow from the window, are dropped; files with and without them are read.

    Args:
        state: Published weights; those below ``prefix`` that belong to Swin are taken.
        prefix: Where the Swin is in the published model, for example ``'backbone.'``.
        target: Where it goes, for example ``'backbone.'``.
    """
    state.drop(rf'^{re.escape(prefix)}.*\.relative_position_index$')
    converted = {}
    for part in ('patch_embed.', 'stages.', 'norm'):
        for name in state.names(prefix + part):
            value, ours = state.take(name), _timm_name(name.removeprefix(prefix))
            if '.downsample.' in ours:
                value = _to_position_major(value)
            converted[target + ours] = value
    return converted


def _timm_name(name: str) -> str:
    norm = re.match(r'norm(\d+)\.(.+)', name)
    if norm:
        return f'out_norms.{norm[1]}.{norm[2]}'
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    # timm counts a patch merging to the stage that follows it.
    name = re.sub(r'^layers_(\d+)\.downsample', lambda match: f'layers_{int(match[1]) + 1}.downsample', name)
    return f'net.{name}'


def _to_position_major(value: Tensor) -> Tensor:
    """Re-order merged channels (..., 4C): published, the channel is slowest and the 2x2 places go row by row.

    In timm the place is slowest and the places go column by column.
    """
    places = value.unflatten(-1, (-1, 4))[..., [0, 2, 1, 3]]
    return places.transpose(-1, -2).flatten(-2).contiguous()
