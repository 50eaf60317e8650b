"""NeWCRFs as published in zhyever/Monocular-Depth-Estimation-Toolbox."""

from torch import Tensor

from depth.registry import CONVERTERS

from .state import PublishedState
from .swin import convert_swin


@CONVERTERS.register_module(name='newcrfs')
def convert_newcrfs(state: PublishedState) -> dict[str, Tensor]:
    """Rename the Swin; neck and head have the published names. Position indices follow from the window."""
    state.drop(r'^decode_head\..*\.relative_position_index$')
    return {
        **convert_swin(state, 'backbone.', 'backbone.'),
        **state.take_all('neck.'),
        **state.take_all('decode_head.'),
    }
