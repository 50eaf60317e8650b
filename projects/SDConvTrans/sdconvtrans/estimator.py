"""SD-ConvTrans estimator: depth from an image or from two ready-made resolutions of it."""

from torch import Tensor, nn

from depth.models.estimators import DepthEstimator
from depth.registry import MODELS
from depth.structures import DepthDataSample


@MODELS.register_module()
class SDConvTransEstimator(DepthEstimator):
    """:class:`DepthEstimator` that takes ``dict(low=..., high=...)`` in tensor mode besides an image.

    The head's channels are those of the backbone's levels.

    Args:
        **kwargs: As :class:`DepthEstimator`.
    """

    def build_head(self, decode_head: dict) -> nn.Module:
        """Build the head for the channels of both backbones."""
        channels = dict(
            conv_channels=self.backbone.conv.out_channels,
            transformer_channels=self.backbone.transformer.out_channels,
        )
        return super().build_head(channels | decode_head)

    def forward(
        self,
        inputs: Tensor | dict[str, Tensor],
        data_samples: list[DepthDataSample] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[DepthDataSample]:
        """Run the model on an image or on two views of it.

        Two views, each (N, 3, H, W) in [0, 1], give the detailed depth (N, 1, H, W) of ``high``.

        Raises:
            ValueError: If the views are incomplete or the mode is not ``'tensor'``.
        """
        if not isinstance(inputs, dict):
            return super().forward(inputs, data_samples, mode)
        if mode != 'tensor' or set(inputs) != {'low', 'high'}:
            raise ValueError(
                f"two views are dict(low=..., high=...) in mode 'tensor', got {sorted(inputs)} in "
                f'mode {mode!r}',
            )
        depth = self.decode_head.clamp(self.outputs(inputs)['depth'])
        return self.decode_head.resize(depth, inputs['high'].shape[-2:])

    def outputs(self, inputs: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
        """Return all outputs of the head, see :class:`SDConvTransHead`."""
        feats = (
            self.backbone.encode(**inputs) if isinstance(inputs, dict) else self.backbone(inputs)
        )
        return self.decode_head(feats)
