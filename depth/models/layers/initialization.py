"""How weights start where a method does not leave that to its layers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .deformable_attention import MultiScaleDeformableAttention


@torch.no_grad()
def draw_matrices(module: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    """Draw the weights with two or more dimensions of ``module`` anew, biases and norms stay as they are.

    Deformable attentions take their own start.

    Args:
        module: Transformer layers.
        draw: ``nn.init.xavier_normal_`` (Mask2Former) or ``nn.init.xavier_uniform_`` (MaskFormer); both give the
            standard deviation sqrt(2 / (inputs + outputs)).
    """
    for parameter in module.parameters():
        if parameter.dim() > 1:
            draw(parameter)
    for part in module.modules():
        if isinstance(part, MultiScaleDeformableAttention):
            part.reset_parameters()


@torch.no_grad()
def caffe2_xavier(layer: nn.Conv2d) -> None:
    """Draw a convolution uniformly with the standard deviation 1 / sqrt(inputs) and set its bias to 0.

    Inputs are those of one output value: channels times the pixels of the kernel. PyTorch's default is 0.58 of that.
    """
    nn.init.kaiming_uniform_(layer.weight, a=1)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
