"""Depth metrics as pure functions.

Definitions (g ground truth, p prediction, means over valid pixels), as in D. Eigen et al. 2014,
https://arxiv.org/abs/1406.2283; silog as on the KITTI depth server, in percent:

abs_rel = mean |p - g| / g, sq_rel = mean (p - g)^2 / g, rmse = sqrt(mean (p - g)^2),
rmse_log = sqrt(mean e^2) with e = ln p - ln g, log10 = mean |log10 p - log10 g|,
silog = 100 * sqrt(mean e^2 - (mean e)^2), dk = share with max(p / g, g / p) < 1.25^k, d0.5 with 1.25^0.5,
irmse = sqrt(mean (1000 / p - 1000 / g)^2) and imae = mean |1000 / p - 1000 / g|, in 1/km.

Every metric follows from moments (means over one image's pixels), so that images can be averaged in more than one way:
:func:`depth_moments` -> :func:`combine_moments` -> :func:`metrics_from_moments`.
"""

import math

import numpy as np
import torch
from torch import Tensor

METRIC_NAMES = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10', 'silog', 'd1', 'd2', 'd3')
EXTRA_METRIC_NAMES = ('d0.5', 'irmse', 'imae')
ALL_METRIC_NAMES = METRIC_NAMES + EXTRA_METRIC_NAMES
HIGHER_IS_BETTER = ('d0.5', 'd1', 'd2', 'd3', 'boundary_precision', 'boundary_recall', 'boundary_f1')

_THRESHOLDS = {'d0.5': 1.25**0.5, 'd1': 1.25, 'd2': 1.25**2, 'd3': 1.25**3}
MOMENTS = (
    *('count', 'bad', 'abs_rel', 'sq_rel', 'square', 'log_square', 'log_abs', 'log_mean', 'log_variance'),
    *('inverse_square', 'inverse_abs', *_THRESHOLDS),
)
SILOGS = dict(
    sqrt_percent='100 * sqrt(mean e^2 - (mean e)^2), as on the KITTI server',
    variance='mean e^2 - (mean e)^2, as in D. Eigen et al. 2014',
)
LOG10S = dict(log10='mean |log10 p - log10 g|', ln='mean |ln p - ln g|, 2.303 times the usual value')
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
        ValueError: If shapes differ, no pixel counts, or a counted value is not finite and positive.
    """
    pred, target = torch.as_tensor(pred), torch.as_tensor(target)
    mask = target > 0 if mask is None else torch.as_tensor(mask).bool()
    if not pred.shape == target.shape == mask.shape:
        raise ValueError(
            f'pred {tuple(pred.shape)}, target {tuple(target.shape)} and mask {tuple(mask.shape)} must have one shape'
        )
    count = int(mask.sum())
    if count == 0:
        raise ValueError('no pixel has ground truth, there is nothing to measure')
    for name, values in (('pred', pred), ('target', target)):
        bad = int((~(torch.isfinite(values) & (values > 0)) & mask).sum())
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
        mask: Boolean, same shape. An image without any valid pixel gets zeros; the caller leaves it out.
    """
    return metrics_from_moments(depth_moments(pred, target, mask))


def depth_moments(pred: Tensor, target: Tensor, mask: Tensor, eps_ratio: float = 0.0, eps_log: float = 0.0) -> Tensor:
    """Return the moments of every image in the order of ``MOMENTS``, (N, M) float64, without synchronising the device.

    Args:
        pred: Predicted depth in metres, (N, ...). Counted values that are not finite and positive are counted in
            ``bad`` and below no threshold; the row's errors then mean nothing.
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape. An image without any valid pixel gets zeros.
        eps_ratio: Metres added to the denominators of abs_rel and of the thresholds' ratios.
        eps_log: Metres added inside the logarithms.
    """
    mask = mask.flatten(1)
    # Where nothing counts both are 1, so that every error is 0 there and sums need no mask.
    p = torch.where(mask, pred.flatten(1), 1).double()
    g = torch.where(mask, target.flatten(1), 1).double()
    number = mask.count_nonzero(dim=1)
    count = number.clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return values.sum(dim=1) / count

    quotient, absolute = p / g, (p - g).abs()
    log_difference = (((p + eps_log) / (g + eps_log)) if eps_log else quotient).log()
    square, log_mean = absolute.square(), mean(log_difference)
    # Centred: mean(e^2) - mean(e)^2 loses all digits where a prediction is off by a factor only.
    log_variance = mean(torch.where(mask, log_difference - log_mean[:, None], 0).square())
    if eps_ratio:
        relative, ratio = absolute / (g + eps_ratio), torch.maximum(p / (g + eps_ratio), g / (p + eps_ratio))
    else:
        relative, ratio = absolute / g, torch.maximum(quotient, g / p)
    possible = (p > 0) & (p < torch.inf)
    ratio = torch.where(possible, ratio, torch.inf)  # that of a negative depth would lie below every threshold
    inverse = absolute / (p * g) * 1000
    missing = mask.shape[1] - number  # pixels whose ratio of 1 lies below every threshold
    columns = [
        number.double(),
        (mask.shape[1] - possible.count_nonzero(dim=1)).double(),
        mean(relative),
        mean(square / g),
        mean(square),
        mean(log_difference.square()),
        mean(log_difference.abs()),
        log_mean,
        log_variance,
        mean(inverse.square()),
        mean(inverse),
        *(((ratio < threshold).count_nonzero(dim=1) - missing) / count.double() for threshold in _THRESHOLDS.values()),
    ]
    return torch.stack(columns, dim=1)


def combine_moments(moments: Tensor, average: str) -> Tensor:
    """Return the moments (M,) of a set of images as one.

    Args:
        moments: (N, M); images without valid pixels are left out by the caller.
        average: ``'pixel'``: those of all pixels together; ``'image_square'``: plain means over images.
    """
    if average == 'image_square':
        return moments.mean(dim=0)
    count, log_mean = moments[:, MOMENTS.index('count')], moments[:, MOMENTS.index('log_mean')]
    weights = count / count.sum()
    result = (weights[:, None] * moments).sum(dim=0)
    # The variance of all pixels is the mean variance of the images plus the variance of their means.
    between = (weights * (log_mean - (weights * log_mean).sum()).square()).sum()
    result[MOMENTS.index('log_variance')] += between
    result[MOMENTS.index('count')] = count.sum()
    return result


def metrics_from_moments(moments: Tensor, silog: str = 'sqrt_percent', log10: str = 'log10') -> dict[str, Tensor]:
    """Return the metrics, in the order of ``ALL_METRIC_NAMES``.

    Args:
        moments: (..., M), from :func:`depth_moments`.
        silog: Key of ``SILOGS``.
        log10: Key of ``LOG10S``.
    """
    moment = dict(zip(MOMENTS, moments.unbind(dim=-1), strict=True))
    log_variance = moment['log_variance']
    values = dict(
        abs_rel=moment['abs_rel'],
        sq_rel=moment['sq_rel'],
        rmse=moment['square'].sqrt(),
        rmse_log=moment['log_square'].sqrt(),
        log10=moment['log_abs'] / (math.log(10) if log10 == 'log10' else 1),
        silog=log_variance if silog == 'variance' else 100 * log_variance.sqrt(),
        irmse=moment['inverse_square'].sqrt(),
        imae=moment['inverse_abs'],
    )
    values |= {name: moment[name] for name in _THRESHOLDS}
    return {name: values[name] for name in ALL_METRIC_NAMES}
