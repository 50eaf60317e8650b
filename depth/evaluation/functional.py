"""Depth metrics as pure functions.

Definitions (g ground truth, p prediction, means over valid pixels), as in D. Eigen et al. 2014,
https://arxiv.org/abs/1406.2283; silog as on the KITTI depth server, in percent:

abs_rel = mean |p - g| / g, sq_rel = mean (p - g)^2 / g, rmse = sqrt(mean (p - g)^2),
rmse_log = sqrt(mean e^2) with e = ln p - ln g, log10 = mean |log10 p - log10 g|,
silog = 100 * sqrt(mean e^2 - (mean e)^2), dk = share with max(p / g, g / p) < 1.25^k, d0.5 with
1.25^0.5, irmse = sqrt(mean (1000 / p - 1000 / g)^2) and imae = mean |1000 / p - 1000 / g|, in 1/km.

Every metric follows from moments (means over the valid pixels of one image), so that images can be
averaged in more than one way: :func:`depth_moments` -> :func:`combine_moments` ->
:func:`metrics_from_moments`.
"""

import math

import numpy as np
import torch
from torch import Tensor

METRIC_NAMES = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10', 'silog', 'd1', 'd2', 'd3')
EXTRA_METRIC_NAMES = ('d0.5', 'irmse', 'imae')
ALL_METRIC_NAMES = METRIC_NAMES + EXTRA_METRIC_NAMES
HIGHER_IS_BETTER = ('d0.5', 'd1', 'd2', 'd3')

# Bounds of max(p / g, g / p), by metric.
THRESHOLDS = {'d0.5': 1.25**0.5, 'd1': 1.25, 'd2': 1.25**2, 'd3': 1.25**3}
ERROR_MOMENTS = ('abs_rel', 'sq_rel', 'square', 'log_square', 'log_abs', 'log_mean', 'log_variance')
INVERSE_MOMENTS = ('inverse_square', 'inverse_abs')
# In this order the moments of an image are stored as one row.
MOMENTS = ('count', 'bad', *ERROR_MOMENTS, *INVERSE_MOMENTS, *THRESHOLDS)
SILOGS = dict(
    sqrt_percent='100 * sqrt(mean e^2 - (mean e)^2), as on the KITTI server',
    variance='mean e^2 - (mean e)^2, as in D. Eigen et al. 2014',
)
LOG10S = dict(
    log10='mean |log10 p - log10 g|', ln='mean |ln p - ln g|, 2.303 times the usual value'
)
AVERAGES = dict(
    image='mean of the values of the images',
    pixel='one value over the pixels of all images',
    image_square='mean over images, of squares where the metric is a root',
)


def depth_metrics(
    pred: Tensor | np.ndarray,
    target: Tensor | np.ndarray,
    mask: Tensor | np.ndarray | None = None,
    extra: bool = False,
) -> dict[str, float]:
    """Return the metrics of one depth map, or of several as one set of pixels.

    Args:
        pred: Predicted depth in metres, any shape.
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape; True where a pixel counts. ``target > 0`` by default.
        extra: Return d0.5, irmse and imae too.

    Raises:
        ValueError: If shapes differ, no pixel counts, or a counted value is not finite and
            positive.
    """
    pred, target = torch.as_tensor(pred), torch.as_tensor(target)
    if mask is None:
        mask = target > 0
    mask = torch.as_tensor(mask).bool()
    if not pred.shape == target.shape == mask.shape:
        raise ValueError(
            f'pred {tuple(pred.shape)}, target {tuple(target.shape)} and mask {tuple(mask.shape)} '
            'must have one shape'
        )
    count = int(mask.sum())
    if count == 0:
        raise ValueError('no pixel has ground truth, there is nothing to measure')
    for name, values in (('pred', pred), ('target', target)):
        usable = torch.isfinite(values) & (values > 0)
        bad = int((mask & ~usable).sum())
        if bad:
            raise ValueError(f'{name}: {bad} of {count} counted pixels are not finite and positive')
    result = batched_depth_metrics(pred.reshape(1, -1), target.reshape(1, -1), mask.reshape(1, -1))
    names = ALL_METRIC_NAMES if extra else METRIC_NAMES
    return {name: float(result[name]) for name in names}


def batched_depth_metrics(pred: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return all metrics of every image, (N,) float64, without synchronising the device.

    Args:
        pred: Predicted depth in metres, (N, ...), positive where it counts.
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape. An image without any valid pixel gets zeros; the caller leaves it
            out.
    """
    return metrics_from_moments(depth_moments(pred, target, mask))


def valid_pairs(pred: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return depth, ground truth (float64) and mask as rows (N, P); maps are 1 outside the mask.

    So every error is 0 there, and sums over pixels need no mask.
    """
    mask = mask.flatten(1)
    pred = torch.where(mask, pred.flatten(1), 1).double()
    target = torch.where(mask, target.flatten(1), 1).double()
    return pred, target, mask


def depth_moments(
    pred: Tensor, target: Tensor, mask: Tensor, eps_ratio: float = 0.0, eps_log: float = 0.0
) -> dict[str, Tensor]:
    """Return the moments of every image by name, in the order of ``MOMENTS``.

    Args:
        pred: Predicted depth in metres, (N, ...). Valid pixels whose value is not finite and
            positive are counted in ``bad`` and lie below no threshold; the other moments of such an
            image mean nothing.
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape. An image without any valid pixel gets zeros.
        eps_ratio: Metres added to the denominators of abs_rel and of the thresholds' ratios.
        eps_log: Metres added inside the logarithms.

    Returns:
        Float64 tensors of shape (N,).
    """
    p, g, mask = valid_pairs(pred, target, mask)
    num_valid = mask.count_nonzero(dim=1)
    divisor = num_valid.clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return values.sum(dim=1) / divisor

    quotient = p / g
    absolute = (p - g).abs()
    square = absolute.square()
    # One division and one logarithm a pixel: these maps are the bulk of the time of an evaluation.
    log_ratio = quotient
    if eps_log:
        log_ratio = (p + eps_log) / (g + eps_log)
    log_difference = log_ratio.log()
    log_mean = mean(log_difference)
    # Centred: mean(e^2) - mean(e)^2 loses all digits where a prediction is off by a factor only.
    log_variance = mean(torch.where(mask, log_difference - log_mean[:, None], 0).square())
    if eps_ratio:
        relative = absolute / (g + eps_ratio)
        ratio = torch.maximum(p / (g + eps_ratio), g / (p + eps_ratio))
    else:
        relative = absolute / g
        ratio = torch.maximum(quotient, g / p)
    possible = (p > 0) & (p < torch.inf)
    # Without this the ratio of a negative depth would lie below every threshold.
    ratio = torch.where(possible, ratio, torch.inf)
    # |1 / p - 1 / g| in 1/km, without the cancellation of subtracting reciprocals.
    inverse = absolute / (p * g) * 1000
    num_masked = mask.shape[1] - num_valid
    moments = dict(
        count=num_valid.double(),
        bad=(mask.shape[1] - possible.count_nonzero(dim=1)).double(),
        abs_rel=mean(relative),
        sq_rel=mean(square / g),
        square=mean(square),
        log_square=mean(log_difference.square()),
        log_abs=mean(log_difference.abs()),
        log_mean=log_mean,
        log_variance=log_variance,
        inverse_square=mean(inverse.square()),
        inverse_abs=mean(inverse),
    )
    for name, threshold in THRESHOLDS.items():
        # Masked pixels have the ratio 1, which lies below every threshold.
        num_within = (ratio < threshold).count_nonzero(dim=1) - num_masked
        moments[name] = num_within / divisor.double()
    return moments


def combine_moments(moments: dict[str, Tensor], average: str) -> dict[str, Tensor]:
    """Return the moments of a set of images as those of one, scalars.

    Args:
        moments: (N,) by name; the caller leaves out images without valid pixels.
        average: ``'pixel'``: those of all pixels together; ``'image_square'``: plain means over
            images.
    """
    if average == 'image_square':
        return {name: values.mean() for name, values in moments.items()}
    # A mean over pixels is the mean over images, weighted by their numbers of pixels.
    count, log_mean = moments['count'], moments['log_mean']
    weights = count / count.sum()
    combined = {name: (weights * values).sum() for name, values in moments.items()}
    # The variance of all pixels: the mean variance of the images plus the variance of their means.
    between = (weights * (log_mean - combined['log_mean']).square()).sum()
    combined['log_variance'] = combined['log_variance'] + between
    combined['count'] = count.sum()
    return combined


def metrics_from_moments(
    moments: dict[str, Tensor], silog: str = 'sqrt_percent', log10: str = 'log10'
) -> dict[str, Tensor]:
    """Return the metrics, in the order of ``ALL_METRIC_NAMES``.

    Args:
        moments: Tensors of one shape by name, from :func:`depth_moments` or
            :func:`combine_moments`.
        silog: Key of ``SILOGS``.
        log10: Key of ``LOG10S``.
    """
    # Some papers print natural logarithms under the name log10, and the variance as silog.
    log_variance, log_abs = moments['log_variance'], moments['log_abs']
    values = dict(
        abs_rel=moments['abs_rel'],
        sq_rel=moments['sq_rel'],
        rmse=moments['square'].sqrt(),
        rmse_log=moments['log_square'].sqrt(),
        log10=log_abs if log10 == 'ln' else log_abs / math.log(10),
        silog=log_variance if silog == 'variance' else 100 * log_variance.sqrt(),
        irmse=moments['inverse_square'].sqrt(),
        imae=moments['inverse_abs'],
    )
    for name in THRESHOLDS:
        values[name] = moments[name]
    return {name: values[name] for name in ALL_METRIC_NAMES}
