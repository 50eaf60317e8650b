"""Fitting a prediction's unknown factor and offset to the ground truth, image by image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .prediction_types import PredictionType


@dataclass(frozen=True)
class Alignment:
    """How a protocol fits predictions to the ground truth.

    Attributes:
        freedom: Numbers fitted an image: 0, 1 (a factor) or 2 (a factor and an offset).
        inverse: Whether the fit is made in inverse depth.
        meaning: In words.
    """

    freedom: int
    inverse: bool
    meaning: str

    def accepts(self, kind: PredictionType) -> bool:
        """Return whether nothing unknown is left of such a prediction after the fit.

        An offset survives no change between depth and inverse depth, a factor does.
        """
        return kind.ambiguity <= self.freedom and (kind.ambiguity < 2 or kind.is_inverse == self.inverse)


ALIGNMENTS = {
    'none': Alignment(0, False, 'nothing is fitted'),
    'median': Alignment(1, False, 'depth times median(gt) / median(prediction)'),
    'scale': Alignment(1, False, 'depth times a least-squares factor'),
    'scale_shift': Alignment(2, False, 'depth times a least-squares factor plus an offset'),
    'inverse_scale': Alignment(1, True, 'inverse depth times a least-squares factor'),
    'inverse_scale_shift': Alignment(2, True, 'inverse depth times a least-squares factor plus an offset'),
}


def align(pred: Tensor, target: Tensor, mask: Tensor, method: str) -> Tensor:
    """Return ``pred`` fitted to ``target`` where ``mask``; both in the domain that the method fits in.

    Args:
        pred: (N, H, W), any unit.
        target: Ground truth, same shape.
        mask: Boolean, same shape. An image without any valid pixel comes back unchanged or as zeros.
        method: Key of :data:`ALIGNMENTS`.
    """
    if method == 'none':
        return pred
    values = torch.where(mask, pred, 0).flatten(1).double()
    wanted = torch.where(mask, target, 0).flatten(1).double()
    flat, count = mask.flatten(1), mask.flatten(1).sum(dim=1).clamp(min=1)
    if method == 'median':
        factor, offset = masked_median(wanted, flat) / masked_median(values, flat), 0.0
    elif ALIGNMENTS[method].freedom == 1:
        factor, offset = (values * wanted).sum(dim=1) / values.square().sum(dim=1), 0.0
    else:
        mean, wanted_mean = values.sum(dim=1) / count, wanted.sum(dim=1) / count
        centred = torch.where(flat, values - mean[:, None], 0)
        variance = centred.square().sum(dim=1)
        # A constant prediction (up to rounding) has no slope: the best fit is the mean.
        sloped = variance > 1e-20 * values.square().sum(dim=1)
        factor = torch.where(sloped, (centred * wanted).sum(dim=1) / variance, 0)
        offset = (wanted_mean - factor * mean)[:, None, None]
    return pred.double() * factor[:, None, None] + offset


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Return the median of each row of (N, L) where the mask, (N,): the mean of the two middle ones if even."""
    ordered = torch.where(mask, values, torch.inf).sort(dim=1).values
    count = mask.sum(dim=1, keepdim=True)
    lower, upper = ((count - 1).clamp(min=0) // 2), (count // 2).clamp(max=values.shape[1] - 1)
    return (ordered.gather(1, lower) + ordered.gather(1, upper))[:, 0] / 2
