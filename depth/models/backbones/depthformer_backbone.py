"""DepthFormer's encoder: a transformer and a convolutional stem in parallel.

Reference: DepthFormer, https://arxiv.org/abs/2203.14211
"""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.registry import MODELS

from .fine_tuning import build_backbone


@MODELS.register_module()
class DepthFormerBackbone(BaseModule):
    """Transformer backbone with a parallel convolutional stem, whose map at 1/2 comes first.

    Args:
        backbone: Config of the transformer backbone; its input is the image, not the stem's output.
        stem_channels: Channels of the stem.

    Reference: DepthFormer, https://arxiv.org/abs/2203.14211
    """

    def __init__(self, backbone: dict, stem_channels: int = 64) -> None:
        super().__init__()
        self.transformer = build_backbone(backbone)
        self.conv1 = nn.Conv2d(3, stem_channels, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.out_channels = [stem_channels, *self.transformer.out_channels]
        self.out_strides = [2, *self.transformer.out_strides]

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Map an image (N, 3, H, W) to the stem's map at 1/2 and the maps of the transformer."""
        return [torch.relu_(self.bn1(self.conv1(inputs))), *self.transformer(inputs)]
