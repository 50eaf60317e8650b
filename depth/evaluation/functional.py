"""Depth metrics as pure functions.

Definitions (g ground truth, p prediction, means over valid pixels), as in D. Eigen et al. 2014,
https://arxiv.org/abs/1406.2283; silog as on the KITTI depth server, in percent:

abs_rel = mean |p - g| / g, sq_rel = mean (p - g)^2 / g, rmse = sqrt(mean (p - g)^2),
rmse_log = sqrt(mean e^2) with e = ln p - ln g, log10 = mean |log10 p - log10 g|,
silog = 100 * sqrt(mean e^2 - (mean e)^2), dk = share with max(p / g, g / p) < 1.25^k.
"""

import math

import numpy as np
import torch
from torch import Tensor

METRIC_NAMES = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10', 'silog', 'd1', 'd2', 'd3')


def depth_metrics(
    pred: Tensor | np.ndarray, target: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None
) -> dict[str, float]:
    """Return the metrics of one depth map, or of several as one set of pixels.

    Args:
        pred: Predicted depth in metres, any shape.
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape; True where a pixel counts. ``target > 0`` by default.

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
    return {name: float(value) for name, value in result.items()}


def batched_depth_metrics(pred: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return the metrics of every image, (N,) float64, without synchronising the device.

    Args:
        pred: Predicted depth in metres, (N, ...), positive where it counts.
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape. An image without any valid pixel gets zeros; the caller leaves it out.
    """
    mask = mask.flatten(1)
    p = torch.where(mask, pred.flatten(1), 1).double()
    g = torch.where(mask, target.flatten(1), 1).double()
    count = mask.sum(dim=1).clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return torch.where(mask, values, 0).sum(dim=1) / count

    difference, log_difference = p - g, p.log() - g.log()
    log_mean = mean(log_difference)
    # Centred: mean(e^2) - mean(e)^2 loses all digits where a prediction is off by a factor only.
    log_variance = mean((log_difference - log_mean[:, None]).square())
    ratio = torch.maximum(p / g, g / p)
    return dict(
        abs_rel=mean(difference.abs() / g),
        sq_rel=mean(difference.square() / g),
        rmse=mean(difference.square()).sqrt(),
        rmse_log=mean(log_difference.square()).sqrt(),
        log10=mean(log_difference.abs()) / math.log(10),
        silog=100 * log_variance.sqrt(),
        **{f'd{power}': mean((ratio < 1.25**power).double()) for power in (1, 2, 3)},
    )
