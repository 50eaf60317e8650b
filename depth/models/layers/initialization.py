"""Weight initialisation of detection transformers and their pixel decoders."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .deformable_attention import MultiScaleDeformableAttention


@torch.no_grad()
def draw_matrices(module: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    """Initialise every parameter of two or more dimensions; biases and norms stay as they are.

    Embedding tables are matrices too. Deformable attentions keep their own initialisation.

    Args:
        module: Transformer layers, or a head with its query tables.
        draw: ``nn.init.xavier_normal_`` (Mask2Former) or ``nn.init.xavier_uniform_`` (MaskFormer);
            both give the standard deviation sqrt(2 / (inputs + outputs)).
    """
    for parameter in module.parameters():
        if parameter.dim() > 1:
            draw(parameter)
    for child in module.modules():
        if isinstance(child, MultiScaleDeformableAttention):
            child.reset_parameters()


@torch.no_grad()
def caffe2_xavier(layer: nn.Conv2d) -> None:
    """Initialise a convolution uniformly with standard deviation 1 / sqrt(fan_in), zero bias.

    The fan-in is the number of input channels times the pixels of the kernel. PyTorch's default is
    0.58 of that.
    """
    nn.init.kaiming_uniform_(layer.weight, a=1)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
