"""Depth gradient refinement (DGR) of encoder features by their higher-order derivatives.

Reference: Improving Depth Gradient Continuity in Transformers, https://arxiv.org/abs/2308.08333
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.layers import SEModule
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from depth.registry import MODELS

ORDERS = (1, 2, 3)
RECALIBRATIONS = ('se', 'cbam', None)


class SobelDerivatives(nn.Module):
    """Partial derivatives of every channel by x and y, up to third order, from Sobel filters.

    The filters are divided by eight, so that the derivative of a linear ramp is its slope; higher
    orders apply them again. The border is replicated: a constant map has zero derivatives
    everywhere, and those of a ramp are wrong at the outermost pixels only.

    Args:
        channels: Channels r.
        orders: Orders of the derivatives that are returned.
        learned: Train the filters, one pair a channel, starting as Sobel's.
    """

    def __init__(
        self, channels: int, orders: Sequence[int] = (1, 2), learned: bool = False
    ) -> None:
        super().__init__()
        self.orders = tuple(orders)
        by_x = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        # (2r, 1, 3, 3): x, y, x, y, ...
        filters = torch.stack([by_x, by_x.t()]).repeat(channels, 1, 1).unsqueeze(1)
        if learned:
            self.filters = nn.Parameter(filters)
        else:
            self.register_buffer('filters', filters, persistent=False)

    @property
    def num_maps(self) -> int:
        """Number of maps per channel: order n has n + 1 partial derivatives."""
        return sum(order + 1 for order in self.orders)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, r, h, w) to (N, num_maps * r, h, w): x, y; xx, xy, yy; xxx, xxy, xyy, yyy."""
        derivatives = [feat]
        outputs = []
        for order in range(1, max(self.orders) + 1):
            pairs = [self._differentiate(lower) for lower in derivatives]
            # xy equals yx: all x derivatives are new, of the y derivatives only the last one.
            derivatives = [by_x for by_x, _ in pairs]
            derivatives.append(pairs[-1][1])
            if order in self.orders:
                outputs.extend(derivatives)
        return torch.cat(outputs, dim=1)

    def _differentiate(self, feat: Tensor) -> tuple[Tensor, Tensor]:
        """Return the derivatives of (N, r, h, w) by x and by y, of the same shape."""
        padded = F.pad(feat, (1, 1, 1, 1), mode='replicate')
        # (N, 2 r, h, w)
        by_xy = F.conv2d(padded, self.filters.to(padded.dtype), groups=feat.shape[1])
        return by_xy[:, ::2], by_xy[:, 1::2]


class GradientRefinement(nn.Module):
    """DGR of one level: reduce channels, differentiate, fuse, recalibrate, add to the input.

    Args:
        channels: Channels C of the level; a multiple of ``reduction``.
        reduction: Divisor of the channels before the derivatives are taken.
        orders: Orders of the derivatives.
        learned_filters: Train the filters.
        recalibration: ``'se'``, ``'cbam'`` or None.
        recalibration_ratio: Divisor of the channels inside the recalibration.
    """

    def __init__(
        self,
        channels: int,
        reduction: int,
        orders: Sequence[int],
        learned_filters: bool,
        recalibration: str | None,
        recalibration_ratio: int,
    ) -> None:
        super().__init__()
        reduced = channels // reduction
        self.reduce = nn.Conv2d(channels, reduced, kernel_size=1)
        self.derivatives = SobelDerivatives(reduced, orders, learned_filters)
        self.fuse = nn.Conv2d((1 + self.derivatives.num_maps) * reduced, channels, kernel_size=1)
        squeeze = dict(rd_channels=max(channels // recalibration_ratio, 1))
        self.recalibrate = nn.Identity()
        if recalibration == 'se':
            self.recalibrate = SEModule(channels, **squeeze)
        elif recalibration == 'cbam':
            self.recalibrate = CbamModule(channels, **squeeze)
        # The last weights are zero, so the module is the identity until it is trained.
        nn.init.zeros_(self.fuse.weight)
        nn.init.zeros_(self.fuse.bias)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        reduced = self.reduce(feat)
        fused = self.fuse(torch.cat([reduced, self.derivatives(reduced)], dim=1))
        return feat + self.recalibrate(fused)


@MODELS.register_module()
class DepthGradientRefinement(BaseModule):
    """Depth gradient refinement (DGR) neck, applied to every level of a transformer encoder.

    The paper states three steps: higher-order derivatives of the features, their concatenation, and
    recalibration of the fused features by attention. The rest is a decision of this toolbox, as the
    paper's code is not public: a 1x1 convolution to C / 4 channels, fixed Sobel filters with
    replicate padding, first and second order, 1x1 fusion back to C, squeeze and excitation, and a
    residual connection that starts at zero, so that a trained model gives the same depth after DGR
    was inserted.

    Args:
        in_channels: Channels of every feature level, finest first.
        start_level: First level that is refined; earlier ones, such as DepthFormer's stem, pass
            unchanged.
        reduction: Divisor of the channels before the derivatives are taken.
        orders: Orders of the derivatives: 1, 2, 3 or several of them.
        learned_filters: Train the derivative filters, starting as Sobel's.
        recalibration: ``'se'`` (squeeze and excitation), ``'cbam'`` or None.
        recalibration_ratio: Squeeze of the recalibration; with 16 DGR takes 3.1 % of the parameters
            of DepthFormer Swin-T, with 32 it stays below 3 %.

    Raises:
        ValueError: If an option is unknown or the channels do not divide by ``reduction``.

    Reference: Improving Depth Gradient Continuity in Transformers, https://arxiv.org/abs/2308.08333
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        start_level: int = 0,
        reduction: int = 4,
        orders: Sequence[int] = (1, 2),
        learned_filters: bool = False,
        recalibration: str | None = 'se',
        recalibration_ratio: int = 32,
    ) -> None:
        super().__init__()
        if not orders or not set(orders) <= set(ORDERS) or len(set(orders)) != len(orders):
            raise ValueError(
                f'DepthGradientRefinement: orders are different ones of {ORDERS}, got '
                f'{tuple(orders)}'
            )
        if recalibration not in RECALIBRATIONS:
            raise ValueError(
                f'DepthGradientRefinement: recalibration is one of {RECALIBRATIONS}, got '
                f'{recalibration!r}'
            )
        if not 0 <= start_level < len(in_channels):
            raise ValueError(
                f'DepthGradientRefinement: start_level is 0 to {len(in_channels) - 1} for '
                f'{len(in_channels)} levels, got {start_level}'
            )
        indivisible = [channels for channels in in_channels[start_level:] if channels % reduction]
        if indivisible:
            raise ValueError(
                f'DepthGradientRefinement: channels must divide by reduction={reduction}, got '
                f'{indivisible}'
            )
        self.in_channels, self.out_channels = list(in_channels), list(in_channels)
        self.start_level = start_level
        self.levels = nn.ModuleList(
            GradientRefinement(
                channels,
                reduction,
                sorted(orders),
                learned_filters,
                recalibration,
                recalibration_ratio,
            )
            for channels in in_channels[start_level:]
        )

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Map feature maps (N, C, h, w), finest first, to maps of the same shapes."""
        outputs = list(feats[: self.start_level])
        for level, feat in zip(self.levels, feats[self.start_level :], strict=True):
            outputs.append(level(feat))
        return outputs
