"""Metrics of depth completion in millimetres, as the KITTI server lists them.

``rmse_mm`` is sqrt(mean (p - g)^2) and ``mae_mm`` mean |p - g|, over the valid pixels of an image,
then over the images. ``irmse`` and ``imae`` of every protocol are the server's iRMSE and iMAE in
1/km.

Reference: Sparsity Invariant CNNs, https://arxiv.org/abs/1708.06500, and the development kit of the
benchmark, https://www.cvlibs.net/datasets/kitti/eval_depth.php?benchmark=depth_completion
"""

from torch import Tensor

from .pixel_metrics import register_pixel_metric

MILLIMETRES = 1000.0  # a metre


def absolute_error(pred: Tensor, target: Tensor) -> Tensor:
    """Return |p - g| of each pixel, in metres."""
    return (pred - target).abs()


@register_pixel_metric()
def rmse_mm(moments: dict[str, Tensor]) -> Tensor:
    """Return the root mean square error in millimetres."""
    return MILLIMETRES * moments['square'].sqrt()


@register_pixel_metric(dict(absolute=absolute_error))
def mae_mm(moments: dict[str, Tensor]) -> Tensor:
    """Return the mean absolute error in millimetres."""
    return MILLIMETRES * moments['absolute']
