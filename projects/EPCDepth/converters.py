"""Converter of published EPCDepth checkpoints (prstrive/EPCDepth).

A published file holds two state dicts, ``encoder`` and ``depth_decoder``.
"""

from torch import Tensor

from depth.engine.converters import PublishedState
from depth.registry import CONVERTERS

PREFIXES = {'encoder.encoder.': 'backbone.net.', 'depth_decoder.': 'decode_head.'}


@CONVERTERS.register_module(name='epcdepth')
def convert_epcdepth(state: PublishedState) -> dict[str, Tensor]:
    """Rename the ResNet and drop its unused classifier; the decoder has the published names."""
    state.drop(r'^encoder\.encoder\.fc\.')
    converted = {}
    for published, prefix in PREFIXES.items():
        converted |= state.take_all(
            published,
            lambda name, published=published, prefix=prefix: name.replace(published, prefix, 1),
        )
    return converted
