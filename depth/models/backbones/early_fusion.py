"""Early fusion of sparse depth: two more input channels of a backbone's first convolution.

The plain baseline of depth completion: log depth and validity of the points enter the network with
the image. The new weights start at zero, so that the network with pretrained weights gives the
features of the image alone at first, and always where there is no point.

Reference: Sparse-to-Dense, https://arxiv.org/abs/1709.07492 (RGB-D input)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POINT_CHANNELS = 2  # log depth and validity


class PointsConv2d(nn.Conv2d):
    """Convolution of an image that also takes the channels of points, if they are there.

    Args:
        conv: Convolution of the three channels of an image, whose weights it shares.
    """

    OPTIONAL_STATE = ('point_weight',)  # a network without points is a start for one with them

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
        )
        self.weight, self.bias = conv.weight, conv.bias
        shape = (conv.out_channels, POINT_CHANNELS, *conv.kernel_size)
        self.point_weight = nn.Parameter(torch.zeros(shape))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map an image (N, 3, H, W), or one with points (N, 5, H, W), to features (N, C, h, w)."""
        if inputs.shape[1] == self.in_channels:
            return super().forward(inputs)
        feat = super().forward(inputs[:, : self.in_channels])
        points = inputs[:, self.in_channels :]
        return feat + F.conv2d(
            points, self.point_weight, None, self.stride, self.padding, self.dilation
        )


def add_early_fusion(backbone: nn.Module) -> None:
    """Let every convolution of the image in a backbone take points too; names of weights stay.

    Raises:
        ValueError: If there is no such convolution, or one that is no plain ``nn.Conv2d``.
    """
    stems = {}
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            stems[name] = module
    kinds = {type(module) for module in stems.values()}
    if kinds != {nn.Conv2d}:
        names = ', '.join(sorted(kind.__name__ for kind in kinds)) or 'none'
        raise ValueError(
            'backbone.early_fusion needs plain convolutions (nn.Conv2d) of the three channels of '
            f'an image; {type(backbone).__name__} has {names}'
        )
    for name, module in stems.items():
        parent, _, leaf = name.rpartition('.')
        setattr(backbone.get_submodule(parent), leaf, PointsConv2d(module))
    backbone.takes_points = True
