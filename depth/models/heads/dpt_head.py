"""Dense prediction transformer: tokens of four blocks to one map at half of the image's size."""

from collections import OrderedDict
from collections.abc import Sequence

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from depth.registry import MODELS

from ..layers.dpt import FusionBlock, Reassemble, double
from .regression_head import RegressionHead


class Double(nn.Module):
    """Bilinear resize to twice the size."""

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, 2 h, 2 w)."""
        return double(feat)


@MODELS.register_module()
class DPTHead(RegressionHead):
    """Readout, reassemble and fusion of vision transformer blocks, with a regression output.

    The backbone gives (map, class token) of four blocks, all on one patch grid:
    ``TimmBackbone(..., out_indices=(2, 5, 8, 11), class_token=True)``. Any image size works: where the doubled coarser
    map and a skip connection differ, the skip connection is resized.

    Args:
        in_channels: Channels E of the tokens of every block; all the same.
        post_process_channels: Channels of the four reassembled levels, finest first.
        channels: Channels of the fusion; even.
        readout: How tokens meet the class token: ``'project'``, ``'add'`` or ``'ignore'``.
        align_corners: Convention of the final resize alone; inside, maps are doubled with True, as published.
        **kwargs: ``scale_up``, depth range and ``loss_decode``, see :class:`RegressionHead`.

    Raises:
        ValueError: If the blocks have different channels or there are not four of them.

    Reference: Vision Transformers for Dense Prediction, https://arxiv.org/abs/2103.13413
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (768, 768, 768, 768),
        post_process_channels: Sequence[int] = (96, 192, 384, 768),
        channels: int = 256,
        readout: str = 'project',
        align_corners: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(channels, align_corners=align_corners, **kwargs)
        if len(in_channels) != 4 or len(set(in_channels)) != 1:
            raise ValueError(f'DPTHead: in_channels is the same width four times, got {list(in_channels)}')
        self.in_channels = list(in_channels)
        self.reassemble_blocks = Reassemble(in_channels[0], post_process_channels, readout)
        self.convs = nn.ModuleList(
            ConvModule(before, channels, 3, padding=1, act_cfg=None, bias=False) for before in post_process_channels
        )
        self.fusion_blocks = nn.ModuleList(FusionBlock(channels, with_skip=index > 0) for index in range(4))
        self.project = ConvModule(channels, channels, 3, padding=1)
        layers = [
            nn.Conv2d(channels, channels // 2, kernel_size=3, padding=1),
            Double(),
            nn.Conv2d(channels // 2, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, kernel_size=1),
        ]
        self.conv_depth = nn.Sequential(OrderedDict(head=nn.Sequential(*layers)))

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution whose output becomes depth."""
        return self.conv_depth.head[-1]

    def forward(self, feats: Sequence[tuple[Tensor, Tensor]], data_samples: list | None = None) -> dict[str, Tensor]:
        """Map (map (N, E, h, w), class token (N, E)) of four blocks to ``depth`` in metres.

        Returns:
            ``depth`` (N, 1, 32 * ceil(h / 2), 32 * ceil(w / 2)): the image rounded up to multiples of 32.

        Raises:
            ValueError: If the features are no such pairs or have other channels.
        """
        if any(isinstance(feat, Tensor) for feat in feats):
            raise ValueError('DPTHead: the backbone gives maps without class tokens, set backbone.class_token=True')
        found = [feat.shape[1] for feat, _ in feats]
        if found != self.in_channels:
            raise ValueError(f'DPTHead: decode_head.in_channels is {self.in_channels}, the backbone gives {found}')
        levels = [conv(feat) for conv, feat in zip(self.convs, self.reassemble_blocks(feats), strict=True)]
        fused = self.fusion_blocks[0](levels[-1])
        for block, skip in zip(self.fusion_blocks[1:], reversed(levels[:-1]), strict=True):
            fused = block(fused, skip)
        return dict(depth=self.regress(self.project(fused)))
