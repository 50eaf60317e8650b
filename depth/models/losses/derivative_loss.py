"""Losses on first and second spatial derivatives at several scales, for sharp boundaries.

Reference: Depth Pro, https://arxiv.org/abs/2410.02073, section 3.2, equation 2; tables 16 and 17
say which data have which loss. The published code holds no losses. The paper leaves open how
kernels are normalised, how the two components of a gradient are joined, by which blur a scale is
halved and what happens at missing labels; that is stated below.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.device_constants import device_constant
from depth.registry import MODELS

from .relative_depth_loss import normalize_robustly

# (kernels, 1, 3, 3). A slope of 1 a pixel has the Scharr response 1, x^2 / 2 the Laplacian 1.
KERNELS = dict(
    scharr=(
        (((-3 / 32, 0.0, 3 / 32), (-10 / 32, 0.0, 10 / 32), (-3 / 32, 0.0, 3 / 32)),),
        (((-3 / 32, -10 / 32, -3 / 32), (0.0, 0.0, 0.0), (3 / 32, 10 / 32, 3 / 32)),),
    ),
    laplace=((((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),),),
)


def multi_scale_derivative_loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    operator: str = 'scharr',
    power: int = 1,
    scales: int = 6,
) -> Tensor:
    """Return the multi-scale derivative loss, equation 2 of Depth Pro.

    It is 1 / M sum_j 1 / N_j sum_i |D C_i^j - D C*_i^j|^p over M scales j and the N_j pixels i of
    each, with the operator D, prediction C, label C* and p = ``power``. The Scharr operator has two
    components, whose powers are added. Each next scale is the mean of squares of four pixels.

    A pixel counts where all pixels of its kernel, and all of the finest scale below them, have a
    label: holes and the image's border make no edges. A scale without such pixels, as the coarse
    ones of a small image, counts as 0.

    Args:
        pred: Prediction (N, 1, H, W), any unit.
        target: Labels, same shape and unit; any finite value where masked out.
        mask: Boolean, same shape; True where ``target`` counts.
        operator: ``'scharr'`` (first derivatives) or ``'laplace'`` (second).
        power: 1 for absolute, 2 for squared errors.
        scales: Number of scales M.

    Returns:
        Scalar, at least float32; 0 without gradient where no pixel counts.
    """
    dtype = torch.promote_types(pred.dtype, torch.float32)
    with torch.autocast(pred.device.type, enabled=False):
        kernels = device_constant(KERNELS[operator], pred.device, dtype)
        # Derivatives are linear: that of the difference is the difference of both.
        error = torch.where(mask, pred.to(dtype) - target.to(dtype), 0)
        total = error.new_zeros(())
        for _ in range(scales):
            if min(error.shape[-2:]) < 3:
                break
            response = F.conv2d(error, kernels).abs().pow(power).sum(dim=1, keepdim=True)
            valid = _all_valid(mask, kernel_size=3, stride=1)
            count = valid.sum().clamp(min=1)
            total = total + torch.where(valid, response, 0).sum() / count
            error, mask = F.avg_pool2d(error, 2), _all_valid(mask, kernel_size=2, stride=2)
        return total / scales


def _all_valid(mask: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Return where all pixels of a window are True, as a boolean mask."""
    return F.max_pool2d((~mask).float(), kernel_size, stride) == 0


@MODELS.register_module()
class MultiScaleDerivativeLoss(nn.Module):
    """Weighted :func:`multi_scale_derivative_loss`, a term for ``loss_decode`` of any head.

    Depth Pro's names, each at six scales of canonical inverse depth of rendered labels: mean
    absolute gradient error MAGE (``scharr``, power 1), mean absolute Laplace error MALE
    (``laplace``, power 1) and mean squared gradient error MSGE (``scharr``, power 2), all three in
    the second stage of the training; in the first stage SSI-MAGE, which is MAGE with ``normalize``.

    Args:
        loss_weight: Factor of the loss.
        operator: ``'scharr'`` or ``'laplace'``.
        power: 1 or 2.
        scales: Number of scales.
        normalize: Compare prediction and label after subtraction of the median and division by the
            mean absolute deviation from it of each image, for labels without a known scale.

    Raises:
        ValueError: If an option has no meaning.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        operator: str = 'scharr',
        power: int = 1,
        scales: int = 6,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if operator not in KERNELS:
            raise ValueError(
                f'MultiScaleDerivativeLoss: operator is one of {list(KERNELS)}, got {operator!r}'
            )
        if power not in (1, 2):
            raise ValueError(f'MultiScaleDerivativeLoss: power is 1 or 2, got {power}')
        if scales < 1:
            raise ValueError(f'MultiScaleDerivativeLoss: scales is at least 1, got {scales}')
        self.loss_weight = loss_weight
        self.normalize = normalize
        self.options = dict(operator=operator, power=power, scales=scales)

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss, all (N, 1, H, W)."""
        if self.normalize:
            with torch.autocast(pred.device.type, enabled=False):
                pred = normalize_robustly(torch.where(mask, pred, 0).float(), mask)
                target = normalize_robustly(torch.where(mask, target, 0).float(), mask)
        return self.loss_weight * multi_scale_derivative_loss(pred, target, mask, **self.options)
