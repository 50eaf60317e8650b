"""NeWCRFs: window conditional random fields from coarse to fine."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from depth.registry import MODELS

from ..layers.window_crf import WindowCRF
from .regression_head import RegressionHead


@MODELS.register_module()
class NeWCRFsHead(RegressionHead):
    """Refine four backbone levels from coarse to fine, each by the result of the level before.

    Between two levels a result is rearranged to twice the size and a quarter of the channels; a row or column that an
    odd level lacks is cut off at the bottom or right, where the backbone had padded. Any image size works.

    Args:
        in_channels: Channels of the maps, finest first; the last one is the pooled map that starts the refinement.
        crf_dims: Channels of the levels, finest first; multiples of 4.
        num_heads: Heads of the levels, finest first.
        window_size: Rows and columns of a window.
        depth_per_level: Blocks of each level, every second one shifted.
        align_corners: Convention of the final resize.
        **kwargs: ``scale_up``, depth range and ``loss_decode``, see :class:`RegressionHead`.

    Raises:
        ValueError: If the lists do not fit each other.

    Reference: Neural Window Fully-connected CRFs, https://arxiv.org/abs/2203.01502
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (192, 384, 768, 1536, 512),
        crf_dims: Sequence[int] = (128, 256, 512, 1024),
        num_heads: Sequence[int] = (4, 8, 16, 32),
        window_size: int = 7,
        depth_per_level: int = 2,
        align_corners: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(crf_dims[0], align_corners=align_corners, **kwargs)
        if not len(in_channels) - 1 == len(crf_dims) == len(num_heads):
            raise ValueError(
                'NeWCRFsHead: crf_dims and num_heads have one entry a level and in_channels one more, for the pooled '
                f'map; got {list(crf_dims)}, {list(num_heads)} and {list(in_channels)}'
            )
        if any(dim % heads or dim % 4 for dim, heads in zip(crf_dims, num_heads, strict=True)):
            raise ValueError(
                f'NeWCRFsHead: crf_dims {list(crf_dims)} must be multiples of num_heads {list(num_heads)} and of 4'
            )
        self.in_channels = list(in_channels)
        values = [*(dim // 4 for dim in crf_dims[1:]), in_channels[-1]]
        for index, (feat, value, dim, heads) in enumerate(zip(in_channels, values, crf_dims, num_heads, strict=False)):
            self.add_module(f'crf{index}', WindowCRF(feat, value, dim, heads, window_size, depth_per_level))

    def forward(self, feats: Sequence[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Map levels (N, C, h, w), finest first, and the pooled map to ``depth`` (N, 1, h, w) at the finest level.

        Raises:
            ValueError: If the maps do not have the configured channels.
        """
        found = [feat.shape[1] for feat in feats]
        if found != self.in_channels:
            raise ValueError(f'NeWCRFsHead: decode_head.in_channels is {self.in_channels}, the neck gives {found}')
        *levels, value = feats
        for index in reversed(range(len(levels))):
            value = value[:, :, : levels[index].shape[-2], : levels[index].shape[-1]]
            value = getattr(self, f'crf{index}')(levels[index], value)
            if index:
                value = F.pixel_shuffle(value, 2)
        return dict(depth=self.regress(value))
