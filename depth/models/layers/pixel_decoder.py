"""The pixel decoder of Mask2Former: encoded memories and a map of pixel embeddings."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from .deformable_encoder import DeformableEncoder
from .initialization import caffe2_xavier, draw_matrices


class DeformablePixelDecoder(nn.Module):
    """Levels at strides 32, 16 and 8 see each other; the one at stride 4 is joined to the last of them.

    Args:
        in_channels: Channels of four levels at strides 4 to 32.
        channels: Channels E of memories and pixel embeddings; a multiple of 32.
        num_layers: Encoder layers.
        num_heads: Heads of the attention.
        num_points: Sampled places per head and level.
        feedforward_channels: Of the encoder layers.

    Reference: Masked-attention Mask Transformer, https://arxiv.org/abs/2112.01527
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
    ) -> None:
        super().__init__()
        norm = dict(type='GN', num_groups=32)
        self.input_convs = nn.ModuleList(
            ConvModule(before, channels, 1, bias=True, norm_cfg=norm, act_cfg=None) for before in in_channels[:0:-1]
        )
        self.encoder = DeformableEncoder(
            channels,
            len(self.input_convs),
            num_layers,
            num_heads=num_heads,
            num_points=num_points,
            feedforward_channels=feedforward_channels,
        )
        self.lateral_conv = ConvModule(in_channels[0], channels, 1, bias=False, norm_cfg=norm, act_cfg=None)
        self.output_conv = ConvModule(channels, channels, 3, padding=1, bias=False, norm_cfg=norm)
        self.mask_feature = nn.Conv2d(channels, channels, kernel_size=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as Mask2Former does; the level codes of the encoder stay standard normal."""
        for module in self.input_convs:
            nn.init.xavier_uniform_(module.conv.weight)
            nn.init.zeros_(module.conv.bias)
        for conv in (self.lateral_conv.conv, self.output_conv.conv, self.mask_feature):
            caffe2_xavier(conv)
        draw_matrices(self.encoder.layers, nn.init.xavier_normal_)

    def forward(self, feats: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Map levels (N, C, h, w), finest first.

        Returns:
            Memories (N, E, h, w), coarsest first, and pixel embeddings (N, E, h, w) at stride 4.
        """
        memories = self.encoder([conv(feat) for conv, feat in zip(self.input_convs, feats[:0:-1], strict=True)])
        skip = self.lateral_conv(feats[0])
        up = F.interpolate(memories[-1], size=skip.shape[-2:], mode='bilinear', align_corners=False)
        return memories, self.mask_feature(self.output_conv(skip + up))
