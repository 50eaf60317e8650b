"""DepthFormer as published in zhyever/Monocular-Depth-Estimation-Toolbox."""

from torch import Tensor

from depth.registry import CONVERTERS

from .state import PublishedState
from .swin import convert_swin


@CONVERTERS.register_module(name='depthformer')
def convert_depthformer(state: PublishedState) -> dict[str, Tensor]:
    """Rename the Swin; stem, neck and head have the published names."""
    return {
        **convert_swin(state, 'backbone.', 'backbone.transformer.'),
        **state.take_all('backbone.conv1.'),
        **state.take_all('backbone.bn1.'),
        **state.take_all('neck.'),
        **state.take_all('decode_head.'),
    }
