"""AdaBins as published in zhyever/Monocular-Depth-Estimation-Toolbox."""

from torch import Tensor

from depth.registry import CONVERTERS

from .state import PublishedState


@CONVERTERS.register_module(name='adabins')
def convert_adabins(state: PublishedState) -> dict[str, Tensor]:
    """Rename the EfficientNet or ResNet; the head has the published names.

    What the published network holds and never uses is dropped: the norm behind the EfficientNet's last convolution and
    the base head's regression.
    """
    state.drop(r'^backbone\.original_model\.(bn2|global_pool|classifier)\.')
    state.drop(r'^decode_head\.conv_depth\.')
    prefix = 'backbone.original_model.' if state.names('backbone.original_model.') else 'backbone.'
    return {
        **state.take_all(prefix, lambda name: f'backbone.net.{name.removeprefix(prefix)}'),
        **state.take_all('decode_head.'),
    }
