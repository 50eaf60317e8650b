"""Log-depth head: metric depth without a far end, for indoor and outdoor data in one model.

Our own baseline. A sigmoid of x times a far end D is D exp(x) far below D, with a slope of log
depth of 1 - d / D, so that near depth is no worse off; it saturates at D, which has to be known. The
exponential has the slope 1 everywhere, and nothing lies beyond its range.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from depth.models.layers import without_autocast
from depth.registry import MODELS
from depth.structures import DepthDataSample

from .depth_anything_head import DepthAnythingDecoder

# exp(-9) = 0.12 mm and exp(12) = 163 km: values that no data set has and float32 holds with ease.
LOG_LIMITS = (-9.0, 12.0)


@MODELS.register_module()
class LogDepthHead(DepthAnythingDecoder):
    """Metric depth as the exponential of the output of a DPT decoder; there is no depth range.

    The start is the mean log depth of the training data (``DepthBiasInitHook``). ``loss_decode`` is
    one of log depth; by default :class:`~depth.models.losses.SILogLoss`.

    Args:
        in_channels: See :class:`DepthAnythingDecoder`.
        post_process_channels: See :class:`DepthAnythingDecoder`.
        channels: See :class:`DepthAnythingDecoder`.
        patch_size: See :class:`DepthAnythingDecoder`.
        align_corners: See :class:`DepthAnythingDecoder`.
        loss_decode: Config of the loss on depth in metres.
        prompt: See :class:`DepthAnythingDecoder`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        post_process_channels: Sequence[int],
        channels: int,
        patch_size: int = 14,
        align_corners: bool = True,
        loss_decode: dict | None = None,
        prompt: dict | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            post_process_channels,
            channels,
            patch_size,
            align_corners,
            prompt,
            min_depth=math.exp(LOG_LIMITS[0]),
            max_depth=math.inf,
            loss_decode=loss_decode,
        )

    def forward(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DepthDataSample] | None = None,
        images: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Map four maps (N, E, h, w) to ``depth`` (N, 1, p h, p w) in metres, p the patch size.

        ``images`` (N, 3, H, W) are for a prompt with a guide.
        """
        prompt = self.encode_prompt(feats, data_samples, images)
        feat = self.decode(feats, prompt)
        # bfloat16 has steps of 1/32 between 4 and 8: log depth of 80 m would come in steps of 3 %.
        with without_autocast(feat.device):
            log_depth = self.output(feat.to(self.output[-1].weight.dtype)).float()
        depth = log_depth.clamp(*LOG_LIMITS).exp()
        if prompt is not None:
            depth = prompt.correct(depth, feat)
        return dict(depth=depth)

    def clamp(self, depth: Tensor) -> Tensor:
        """Return depth as it is."""
        return depth

    @torch.no_grad()
    def init_depth_bias(self, depth: float) -> None:
        """Initialise the last convolution so that the head predicts about ``depth`` metres.

        Raises:
            ValueError: If ``depth`` is not a finite number above 0.
        """
        if not 0 < depth < math.inf:
            raise ValueError(f'LogDepthHead: an initial depth is above 0 m, got {depth}')
        self.output[-1].bias.fill_(math.log(depth))
        self.output[-1].weight.mul_(0.01)
