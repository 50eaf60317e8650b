"""How weights start where a method does not leave that to its layers."""

import torch
from torch import nn

from .deformable_attention import MultiScaleDeformableAttention


@torch.no_grad()
def xavier_start(module: nn.Module) -> None:
    """Draw every matrix of ``module`` anew from Xavier's uniform distribution, as detection transformers start.

    Embedding tables are matrices too. Biases of convolutions become zero; deformable attentions take their own start.
    """
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)
        elif isinstance(part, MultiScaleDeformableAttention):
            part.reset_parameters()
