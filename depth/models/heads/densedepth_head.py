"""DenseDepth head: a U-Net decoder with a regression output."""

from collections.abc import Sequence

from torch import Tensor

from depth.registry import MODELS

from ..layers.densedepth import DenseDepthDecoder
from .regression_head import RegressionHead


@MODELS.register_module()
class DenseDepthHead(RegressionHead):
    """DenseDepth head: upsampling decoder with skip connections and a regression output.

    Args:
        in_channels: Channels of every feature level, finest first.
        up_sample_channels: Channels after each decoder level, finest first, so the first entry
            equals ``channels``; by default ``in_channels`` with ``channels`` at the finest level.
        channels: Channels of the last map, at the finest level.
        norm_cfg: Normalisation in the decoder; the published heads have none.
        act_cfg: Activation in the decoder; LeakyReLU with slope 0.01 as published by default.
        **kwargs: ``scale_up``, depth range, ``align_corners`` and ``loss_decode``, see
            :class:`RegressionHead`.

    Raises:
        ValueError: If the two channel lists differ in length, or ``up_sample_channels`` does not
            end in ``channels``.

    Reference: High Quality Monocular Depth Estimation via Transfer Learning,
    https://arxiv.org/abs/1812.11941
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        up_sample_channels: Sequence[int] | None = None,
        channels: int = 64,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(channels, **kwargs)
        widths = list(up_sample_channels or in_channels)
        if len(widths) != len(in_channels):
            raise ValueError(
                f'DenseDepthHead: up_sample_channels has {len(widths)} entries, in_channels has '
                f'{len(in_channels)}; one for each feature level is needed'
            )
        if up_sample_channels and widths[0] != channels:
            raise ValueError(
                f'DenseDepthHead: the finest of up_sample_channels {widths} must be '
                f'channels={channels}, both are the width of the last map'
            )
        self.in_channels = list(in_channels)
        act_cfg = act_cfg or dict(type='LeakyReLU', negative_slope=0.01)
        widths[0] = channels
        self.conv_list = DenseDepthDecoder(
            in_channels, widths, norm_cfg, act_cfg, self.align_corners
        )

    def forward(
        self, feats: Sequence[Tensor], data_samples: list | None = None
    ) -> dict[str, Tensor]:
        """Map features (N, C, h, w), finest first, to ``depth`` (N, 1, h, w) in metres."""
        return dict(depth=self.regress(self.conv_list(feats)))
