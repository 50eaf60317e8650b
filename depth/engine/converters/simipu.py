"""SimIPU: its published encoders, and the depth networks trained on them."""

from torch import Tensor

from depth.registry import CONVERTERS

from .state import PublishedState


@CONVERTERS.register_module(name='simipu')
def convert_simipu(state: PublishedState) -> dict[str, Tensor]:
    """Rename ResNet and DenseDepth head, or cut the image encoder out of a file of the pre-training.

    The encoder alone keeps the names of ResNet itself, as ``TimmBackbone(checkpoint=...)`` reads them; what the
    pre-training had beside it (point cloud branch, projections) is dropped.
    """
    if state.names('img_backbone.'):
        state.drop(r'^(?!img_backbone\.)')
        return state.take_all('img_backbone.', lambda name: name.removeprefix('img_backbone.'))
    return {
        **state.take_all('backbone.', lambda name: f'backbone.net.{name.removeprefix("backbone.")}'),
        **state.take_all('decode_head.'),
    }
