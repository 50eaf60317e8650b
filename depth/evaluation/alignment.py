"""Alignment: least-squares or median fit of predictions to the ground truth, image by image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .prediction_types import PredictionType


@dataclass(frozen=True)
class Alignment:
    """Kind of fit of predictions to the ground truth.

    Attributes:
        freedom: Numbers fitted an image: 0, 1 (a factor) or 2 (a factor and an offset).
        inverse: Whether the fit is made in inverse depth.
        meaning: Description for tables and messages.
    """

    freedom: int
    inverse: bool
    meaning: str

    def accepts(self, kind: PredictionType) -> bool:
        """Return whether the fit determines all unknowns of predictions of a type.

        A factor may be fitted in depth or inverse depth, an offset only in the domain of the
        prediction.
        """
        if kind.ambiguity > self.freedom:
            return False
        # 1 / (a x + b) is no factor and offset of 1 / x, but 1 / (a x) is a factor of it.
        return kind.ambiguity < 2 or kind.is_inverse == self.inverse


ALIGNMENTS = {
    'none': Alignment(0, False, 'nothing is fitted'),
    'median': Alignment(1, False, 'depth times median(gt) / median(prediction)'),
    'scale': Alignment(1, False, 'depth times a least-squares factor'),
    'scale_shift': Alignment(2, False, 'depth times a least-squares factor plus an offset'),
    'inverse_scale': Alignment(1, True, 'inverse depth times a least-squares factor'),
    'inverse_scale_shift': Alignment(
        2, True, 'inverse depth times a least-squares factor plus an offset'
    ),
}


def align(pred: Tensor, target: Tensor, mask: Tensor, method: str) -> Tensor:
    """Return ``pred`` fitted to ``target`` where ``mask``; both in the domain of the method.

    Args:
        pred: (N, H, W), any unit.
        target: Ground truth, same shape.
        mask: Boolean, same shape. An image without any valid pixel comes back unchanged or as
            zeros.
        method: Key of :data:`ALIGNMENTS`.
    """
    if method == 'none':
        return pred
    # Masked, not selected: a selection would have another size in each image. In double, because
    # sums over a million squares lose digits in float32.
    values = torch.where(mask, pred, 0).flatten(1).double()
    target = torch.where(mask, target, 0).flatten(1).double()
    flat_mask = mask.flatten(1)
    count = flat_mask.sum(dim=1).clamp(min=1)
    offset: Tensor | float = 0.0
    if method == 'median':
        factor = masked_median(target, flat_mask) / masked_median(values, flat_mask)
    elif ALIGNMENTS[method].freedom == 1:
        factor = (values * target).sum(dim=1) / values.square().sum(dim=1)
    else:
        # The normal equations in centred form, without their cancellation.
        mean, target_mean = values.sum(dim=1) / count, target.sum(dim=1) / count
        centred = torch.where(flat_mask, values - mean[:, None], 0)
        variance = centred.square().sum(dim=1)
        # A constant prediction (up to rounding) has no slope: the best fit is the mean.
        sloped = variance > 1e-20 * values.square().sum(dim=1)
        factor = torch.where(sloped, (centred * target).sum(dim=1) / variance, 0)
        offset = (target_mean - factor * mean)[:, None, None]
    return pred.double() * factor[:, None, None] + offset


def fit_to_metres(pred: Tensor, target: Tensor, kind: PredictionType) -> Tensor:
    """Return predictions as depth in metres, with everything that their type leaves open fitted.

    For pictures; numbers come from a protocol, which says what was fitted.

    Args:
        pred: (N, H, W).
        target: Ground truth in metres, same shape, 0 = none.
        kind: Type of the predictions.

    Returns:
        Depth (N, H, W) in metres; 0 where the fitted inverse depth is not positive.
    """
    mask = target > 0
    if kind.is_inverse:
        target = torch.where(mask, target, 1).reciprocal()
    methods = {0: 'none', 1: 'scale', 2: 'scale_shift'}
    fitted = align(pred, target, mask & pred.isfinite(), methods[kind.ambiguity])
    if kind.is_inverse:
        fitted = torch.where(fitted > 0, fitted, torch.inf).reciprocal()
    return fitted.clamp(min=0).float()


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Return the median (N,) of the masked values of each row of (N, L).

    It is the mean of the middle two where their number is even, as in NumPy.
    """
    # `torch.median` takes the lower of the two, and knows no mask. Values that are left out come
    # last.
    ordered = torch.where(mask, values, torch.inf).sort(dim=1).values
    count = mask.sum(dim=1, keepdim=True)
    lower = (count - 1).clamp(min=0) // 2
    upper = (count // 2).clamp(max=values.shape[1] - 1)
    return (ordered.gather(1, lower) + ordered.gather(1, upper))[:, 0] / 2
