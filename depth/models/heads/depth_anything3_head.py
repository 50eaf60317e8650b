"""Heads of Depth Anything 3 for single images: depth up to a factor or in metres, and sky.

Reference: Depth Anything 3, https://arxiv.org/abs/2511.10647. Published code: Apache-2.0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..layers.canonical_camera import CanonicalCamera
from .base_depth_head import stack_labels
from .depth_anything_head import DepthAnythingDecoder, output_layers

SKY_STEP = 0.3  # from this sky value on, depth is replaced
SKY_MASK = 0.5  # from this sky value on, a pixel is reported as sky
SKY_QUANTILE = 0.99
MIN_PIXELS = 10  # of sky and of the rest: with as few or fewer nothing is replaced
CANONICAL_FOCAL = 300.0  # pixels


def replace_sky(depth: Tensor, sky: Tensor) -> Tensor:
    """Return depth whose sky pixels have the 0.99 quantile of the depth of all others.

    Each image is treated alone; the published code takes the quantile over the whole batch, of
    100 000 random draws where there are more pixels.

    Args:
        depth: (N, 1, H, W).
        sky: Sky values, same shape; sky from 0.3 on.
    """
    # Sorted with the sky at the end: boolean indexing would stall the device.
    is_sky = (sky >= SKY_STEP).flatten(1)  # (N, L)
    count = (~is_sky).sum(dim=1, keepdim=True)
    ordered = torch.where(is_sky, torch.inf, depth.flatten(1)).sort(dim=1).values
    # Linear interpolation between the two nearest ranks, as in torch.quantile.
    rank = SKY_QUANTILE * (count - 1).clamp(min=0)
    lower = rank.floor().long()
    upper = (lower + 1).minimum((count - 1).clamp(min=0))
    low, high = ordered.gather(1, lower), ordered.gather(1, upper)
    far = low + (rank - lower) * (high - low)  # (N, 1)
    enough = (count > MIN_PIXELS) & (is_sky.sum(dim=1, keepdim=True) > MIN_PIXELS)
    replaced = torch.where(is_sky & enough, far, depth.flatten(1))
    return replaced.view_as(depth)


@MODELS.register_module()
class DepthAnything3Head(DepthAnythingDecoder):
    """Depth up to a factor an image, exponential of the output, and a sky value per pixel.

    The layers of the sky are trained on samples with ``gt_sky``. Where no data set has it, they
    keep their weights (``sky_weight=0``), or are left out of a training from scratch
    (``with_sky=False``).

    Args:
        with_sky: Predict the sky, which is not in ``pred_mask`` and is moved to the far end of the
            other pixels' depth.
        sky_weight: Weight of the squared error of the sky value, which should be 1 in the sky and 0
            elsewhere; as published, 1. With 0 its layers are frozen.
        **kwargs: See :class:`DepthAnythingDecoder`. ``loss_decode`` compares the prediction, times
            the factor an image that makes the mean log depth right, with ground truth. A depth
            range has no meaning for the output.

    Raises:
        ValueError: If ``sky_weight`` is given without the layers of the sky.

    Reference: Depth Anything 3, https://arxiv.org/abs/2511.10647
    """

    prediction_type = 'scale_invariant'

    def __init__(self, *args, with_sky: bool = True, sky_weight: float = 0.0, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if sky_weight and not with_sky:
            raise ValueError(
                f'{type(self).__name__}: sky_weight is {sky_weight}, but with_sky=False leaves out '
                'the layers that it trains'
            )
        self.with_sky, self.sky_weight = with_sky, sky_weight
        self.map_names = ('mask',) if with_sky else ()
        if with_sky:
            self.sky_output = output_layers(self.conv.out_channels)
            self.sky_output.requires_grad_(sky_weight > 0)

    def forward(
        self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Map four maps (N, E, h, w) to ``depth`` and ``sky`` (N, 1, p h, p w).

        In training the sky is left as it is.
        """
        return self._outputs(self.decode(feats))

    def _outputs(self, feat: Tensor) -> dict[str, Tensor]:
        """Map decoded features (N, F / 2, p h, p w) to ``depth``, without unit, and ``sky``."""
        # The exponential of half precision overflows at 11.
        depth = self.output(feat).float().exp()
        if not self.with_sky:
            return dict(depth=depth)
        sky = self.sky_output(feat).float().relu()
        return dict(depth=depth if self.training else replace_sky(depth, sky), sky=sky)

    def further_maps(self, outputs: dict[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Return ``mask`` (N, 1, H, W) bool: not sky."""
        if not self.with_sky:
            return {}
        return dict(mask=self.resize(outputs['sky'], size) < SKY_MASK)

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of depth, scaled image by image, against ``gt_depth`` in metres."""
        depth = self.resize(outputs['depth'], gt_depth.shape[-2:])
        mask = gt_depth > 0
        ratio = torch.where(mask, gt_depth, 1).log() - torch.where(mask, depth, 1).log()
        count = mask.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)
        factor = (ratio.sum(dim=(1, 2, 3), keepdim=True) / count).exp()
        losses = self.decode_losses(depth * factor, gt_depth, mask)
        losses = {f'loss_{name}': value for name, value in losses.items()}
        return losses | self._sky_loss(outputs, gt_depth, data_samples)

    def _sky_loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None,
    ) -> dict[str, Tensor]:
        """Return the loss of the sky value as ``loss_sky``, or nothing if it is not trained.

        A pixel counts that is labelled as sky or has depth, of samples with ``gt_sky``: elsewhere
        the absence of sky was not looked for.
        """
        if not self.sky_weight:
            return {}
        has_depth = gt_depth > 0
        nowhere = torch.zeros_like(has_depth[0])
        looked_for = []
        for sample, measured in zip(data_samples, has_depth, strict=True):
            looked_for.append(measured if 'gt_sky' in sample else nowhere)
        sky = stack_labels(data_samples, 'gt_sky', gt_depth) > 0
        known = sky | torch.stack(looked_for)
        error = (self.resize(outputs['sky'], gt_depth.shape[-2:]) - sky.float()).square()
        mean = torch.where(known, error, 0).sum() / known.sum().clamp(min=1)
        return dict(loss_sky=self.sky_weight * mean)

    def clamp(self, depth: Tensor) -> Tensor:
        """Return depth without unit as it is."""
        return depth


@MODELS.register_module()
class DepthAnything3MetricHead(DepthAnything3Head):
    """Depth in metres: the output is that of a camera with a focal length of 300 pixels.

    Metres are focal * output / 300, focal the mean of fx and fy in pixels of the network's input.

    Args:
        default_intrinsics: K (3, 3) in pixels of the network's input, of images without a camera;
            in tensor mode without data samples or this, the output is that of the focal length 300.
        **kwargs: See :class:`DepthAnything3Head`.
    """

    prediction_type = 'metric'
    canonical_conflict = 'it has a canonical camera of its own'

    def __init__(
        self, *args, default_intrinsics: Sequence[Sequence[float]] | None = None, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.camera = CanonicalCamera(CANONICAL_FOCAL, default_intrinsics, depth_range=None)
        self.needs_camera = default_intrinsics is None

    def forward(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DepthDataSample] | None = None,
        images: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Map four maps (N, E, h, w) to ``depth`` in metres and ``sky``, (N, 1, p h, p w).

        ``images`` (N, 3, H, W) are for a prompt with a guide.

        Raises:
            ValueError: If a sample has no camera and there is none by default, or it is trained on.
        """
        prompt = self.encode_prompt(feats, data_samples, images)
        feat = self.decode(feats, prompt)
        outputs = self._outputs(feat)
        depth = self.camera.to_metric(outputs['depth'], data_samples, self.training)
        if prompt is not None:
            depth = prompt.correct(depth, feat)
        return dict(outputs, depth=depth)

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of depth in metres."""
        losses = DepthAnythingDecoder.loss(self, outputs, gt_depth, data_samples)
        return losses | self._sky_loss(outputs, gt_depth, data_samples)
