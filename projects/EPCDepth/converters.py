"""EPCDepth as published in prstrive/EPCDepth: a file with two state dicts, ``encoder`` and ``depth_decoder``."""

from torch import Tensor

from depth.engine.converters import PublishedState
from depth.registry import CONVERTERS


@CONVERTERS.register_module(name='epcdepth')
def convert_epcdepth(state: PublishedState) -> dict[str, Tensor]:
    """Rename the ResNet, leave its unused classifier out; the decoder has the published names."""
    state.drop(r'^encoder\.encoder\.fc\.')
    return {
        **state.take_all('encoder.encoder.', lambda name: name.replace('encoder.encoder.', 'backbone.net.', 1)),
        **state.take_all('depth_decoder.', lambda name: name.replace('depth_decoder.', 'decode_head.', 1)),
    }
