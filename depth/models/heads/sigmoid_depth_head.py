"""Base class of self-supervised heads: sigmoid outputs and their conversion to depth in metres."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from depth.structures import DepthDataSample


def sigmoid_to_inverse_depth(sigmoid: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Map a sigmoid output linearly to inverse depth in 1/m; 0 is the far end, 1 the near end.

    Args:
        sigmoid: Values in [0, 1], any shape.
        min_depth: Depth in metres of 1.
        max_depth: Depth in metres of 0.

    Reference: Unsupervised Monocular Depth Estimation with Left-Right Consistency,
    https://arxiv.org/abs/1609.03677; the affine form is that of https://arxiv.org/abs/1806.01260.
    """
    return 1 / max_depth + (1 / min_depth - 1 / max_depth) * sigmoid


class SigmoidDepthHead(BaseModule, metaclass=ABCMeta):
    """Base class of heads with sigmoid outputs, which are inverse depth scaled to a range.

    Args:
        output_range: Depth in metres of a sigmoid of 1 and of a sigmoid of 0. It limits what the
            output can express and is independent of the range in which a data set is scored.

    Raises:
        ValueError: If the range is empty or touches zero.
    """

    def __init__(self, output_range: Sequence[float] = (0.1, 100.0)) -> None:
        super().__init__()
        near, far = output_range
        if not 0 < near < far:
            raise ValueError(
                f'{type(self).__name__}: output_range needs 0 < near < far, got {near} and {far}'
            )
        self.output_range = (float(near), float(far))

    @abstractmethod
    def forward(
        self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor | list[Tensor]]:
        """Map features (N, C, h, w) to ``sigmoids`` (N, 1, h, w); both are finest first."""

    def to_inverse_depth(self, sigmoid: Tensor) -> Tensor:
        """Return inverse depth in 1/m of a sigmoid output of any shape."""
        return sigmoid_to_inverse_depth(sigmoid.float(), *self.output_range)

    def to_depth(self, sigmoid: Tensor) -> Tensor:
        """Return depth in metres of a sigmoid output of any shape."""
        return 1 / self.to_inverse_depth(sigmoid)


def reflect_conv(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution with reflection padding, as in the decoders of monodepth."""
    return nn.Conv2d(
        in_channels, out_channels, 3, padding=dilation, dilation=dilation, padding_mode='reflect'
    )
