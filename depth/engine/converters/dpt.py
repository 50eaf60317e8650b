"""DPT as published in zhyever/Monocular-Depth-Estimation-Toolbox."""

import re

from torch import Tensor

from depth.registry import CONVERTERS

from .state import PublishedState

_RULES = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^layers\.(\d+)\.', r'blocks.\1.'),
    (r'\.ln(\d)\.', r'.norm\1.'),
    (r'\.attn\.attn\.in_proj_', '.attn.qkv.'),
    (r'\.attn\.attn\.out_proj\.', '.attn.proj.'),
    (r'\.ffn\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.ffn\.layers\.1\.', '.mlp.fc2.'),
)


@CONVERTERS.register_module(name='dpt')
def convert_dpt(state: PublishedState) -> dict[str, Tensor]:
    """Rename the vision transformer; the head has the published names."""
    return {**state.take_all('backbone.', _timm_name), **state.take_all('decode_head.')}


def _timm_name(name: str) -> str:
    name = name.removeprefix('backbone.')
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return f'backbone.net.model.{name}'
