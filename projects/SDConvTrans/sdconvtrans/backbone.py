"""SD-ConvTrans backbone: convolutional and transformer features of an image at two resolutions."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.export_mode import resize_antialiased, round_side
from depth.registry import MODELS

Features = dict[str, list[Tensor]]


@MODELS.register_module()
class SDConvTransBackbone(BaseModule):
    """One convolutional network for both resolutions, a transformer for the high one.

    Args:
        conv: Config of the convolutional backbone; four levels at strides 4 to 32.
        transformer: Config of the transformer backbone; likewise.
        low_scale: Size of the low-resolution view against the image; published 360x480 of 480x640.
        tanh_gelu: Use the tanh approximation of GELU in the transformer, as the published weights
            expect.

    Raises:
        ValueError: If ``low_scale`` is not between 0 and 1 or a backbone has other strides.
    """

    def __init__(
        self,
        conv: dict,
        transformer: dict,
        low_scale: float = 0.75,
        tanh_gelu: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < low_scale <= 1:
            raise ValueError(
                f'SDConvTransBackbone: low_scale is above 0 and at most 1, got {low_scale}',
            )
        self.low_scale = low_scale
        self.conv = MODELS.build(conv)  # its weights are shared by both resolutions
        self.transformer = MODELS.build(transformer)
        if tanh_gelu:
            for module in self.transformer.modules():
                if isinstance(module, nn.GELU):
                    module.approximate = 'tanh'
        for name, backbone in (('conv', self.conv), ('transformer', self.transformer)):
            strides = list(backbone.out_strides)
            if strides != [4, 8, 16, 32]:
                raise ValueError(
                    f'SDConvTransBackbone: {name} must give strides 4, 8, 16, 32, got {strides}; '
                    'set its out_indices',
                )

    def forward(self, inputs: Tensor) -> Features:
        """Map images (N, 3, H, W) in [0, 1] to features of the image and of a smaller view of it."""
        return self.encode(self.make_low(inputs), inputs)

    def make_low(self, inputs: Tensor) -> Tensor:
        """Return the low-resolution view, resized bilinearly with anti-aliasing."""
        size = [max(round_side(side, self.low_scale), 1) for side in inputs.shape[-2:]]
        return resize_antialiased(inputs, size)

    def encode(self, low: Tensor, high: Tensor) -> Features:
        """Return ``low`` and ``high`` (convolutional) and ``transformer`` (of ``high``), each finest first."""
        return dict(low=self.conv(low), high=self.conv(high), transformer=self.transformer(high))
