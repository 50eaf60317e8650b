"""Losses on depth that is known up to a scale and a shift of each image.

Reference: Towards Robust Monocular Depth Estimation (MiDaS), https://arxiv.org/abs/1907.01341; two
public gists of its authors hold the least-squares and the robust form.
"""

import torch
from torch import Tensor, nn

from depth.registry import MODELS

REDUCTIONS = ('batch', 'image')


def align_least_squares(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the prediction with the scale and shift of each image that fit the target best.

    (scale, shift) = argmin sum mask * (scale * pred + shift - target)^2 in closed form; the
    gradient flows through both. They are 0 where they are not determined: in an image without valid
    pixels or with a constant prediction.

    Args:
        pred: (N, 1, H, W), any unit; where ``mask`` is False the value has to be finite.
        target: Same shape.
        mask: Boolean, same shape; True where ``target`` counts.

    Returns:
        (N, 1, H, W), 0 where masked out.
    """
    # Sums of centred values: the published form, with raw second moments, cancels in float32.
    pred_mean, target_mean = masked_mean(pred, mask), masked_mean(target, mask)
    centered = torch.where(mask, pred - pred_mean, 0)
    variance = centered.square().sum(dim=(1, 2, 3), keepdim=True)
    covariance = (centered * torch.where(mask, target, 0)).sum(dim=(1, 2, 3), keepdim=True)
    is_determined = variance > 0
    scale = torch.where(is_determined, covariance / torch.where(is_determined, variance, 1), 0)
    shift = torch.where(is_determined, target_mean - scale * pred_mean, 0)
    return torch.where(mask, scale * pred + shift, 0)


def normalize_robustly(values: Tensor, mask: Tensor) -> Tensor:
    """Subtract the median of each image and divide by the mean absolute deviation from it.

    The median is the lower one of the valid pixels; the gradient flows through both statistics.

    Args:
        values: (N, 1, H, W), finite.
        mask: Boolean, same shape.

    Returns:
        (N, 1, H, W), 0 where masked out.
    """
    median = masked_median(values, mask)
    deviation = masked_mean((values - median).abs(), mask).clamp(min=1e-6)
    return torch.where(mask, (values - median) / deviation, 0)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (N, 1, 1, 1) of the valid pixels of each image, 0 where there are none."""
    count = mask.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)
    return torch.where(mask, values, 0).sum(dim=(1, 2, 3), keepdim=True) / count


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Return the lower median (N, 1, 1, 1) of the valid pixels of each image, 0 without any."""
    # Invalid pixels are sorted to the end; indexing by a count on the device does not wait for it.
    ordered = torch.where(mask, values, torch.inf).flatten(1).sort(dim=1).values
    count = mask.flatten(1).sum(dim=1, keepdim=True)
    median = ordered.gather(1, ((count - 1) // 2).clamp(min=0))
    return torch.where(count > 0, median, 0)[:, :, None, None]


def reduce_pixels(errors: Tensor, counts: Tensor, reduction: str) -> Tensor:
    """Return the mean of per-image sums over pixels.

    Args:
        errors: (N,) sums over the valid pixels of an image.
        counts: (N,) valid pixels of an image.
        reduction: ``'batch'``: over all pixels of the batch together, so that an image counts by
            its valid pixels; ``'image'``: the mean of each image, then over all N images, so that a
            sparse image counts as much as a dense one. An image without valid pixels adds 0.
    """
    if reduction == 'batch':
        return errors.sum() / counts.sum().clamp(min=1)
    return (errors / counts.clamp(min=1)).mean()


def gradient_matching_loss(
    residual: Tensor, mask: Tensor, scales: int = 4, reduction: str = 'batch'
) -> Tensor:
    """Return the sum over scales of the mean absolute gradient of a residual map.

    At scale k every 2^k-th row and column is kept. A difference counts where both of its pixels are
    valid, so holes have no edges; the sum is divided by the number of valid pixels of that scale.

    Args:
        residual: Difference (N, 1, H, W) of an aligned prediction and its target.
        mask: Boolean, same shape.
        scales: Number of scales.
        reduction: See :func:`reduce_pixels`.
    """
    total = residual.new_zeros(())
    for scale in range(scales):
        step = 2**scale
        values, valid = residual[..., ::step, ::step], mask[..., ::step, ::step]
        along_x = (values[..., 1:] - values[..., :-1]).abs()
        along_y = (values[..., 1:, :] - values[..., :-1, :]).abs()
        along_x = torch.where(valid[..., 1:] & valid[..., :-1], along_x, 0)
        along_y = torch.where(valid[..., 1:, :] & valid[..., :-1, :], along_y, 0)
        errors = along_x.sum(dim=(1, 2, 3)) + along_y.sum(dim=(1, 2, 3))
        total = total + reduce_pixels(errors, valid.sum(dim=(1, 2, 3)), reduction)
    return total


def trimmed_sum(errors: Tensor, mask: Tensor, trim: float) -> Tensor:
    """Return the sum (N,) of the smallest errors of each image.

    Args:
        errors: (N, P), not negative.
        mask: Boolean, same shape.
        trim: Share of the valid pixels, those with the largest errors, that is left out.
    """
    ordered = torch.where(mask, errors, torch.inf).sort(dim=1).values
    # In double precision, as int(0.8 * M) of Python.
    num_counted = ((1 - trim) * mask.sum(dim=1, keepdim=True).double()).long()
    is_counted = torch.arange(errors.shape[1], device=errors.device) < num_counted
    return torch.where(is_counted, ordered, 0).sum(dim=1)


def scale_shift_invariant_loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    form: str = 'least_squares',
    trim: float = 0.2,
    trim_over: str = 'image',
    gradient_weight: float = 0.5,
    scales: int = 4,
    reduction: str = 'batch',
) -> tuple[Tensor, Tensor]:
    """Return the data term and the weighted gradient term of the scale-and-shift-invariant loss.

    With M valid pixels and the residual r of the aligned maps the data term is

    - ``form='least_squares'``: sum r^2 / (2 M), the prediction aligned by least squares;
    - ``form='robust'``: sum |r| over the pixels that are not trimmed / (2 M), both maps normalised
      by median and mean absolute deviation.

    Args:
        pred: Prediction (N, 1, H, W), for which the labels know everything but scale and shift.
        target: Labels, same shape and same domain (inverse depth, as a rule).
        mask: Boolean, same shape; True where ``target`` counts.
        form: ``'least_squares'`` or ``'robust'``.
        trim: Share of largest residuals that the robust form leaves out.
        trim_over: ``'image'``, as in the paper, or ``'batch'``: of all valid pixels together.
        gradient_weight: Factor of :func:`gradient_matching_loss` of the residual.
        scales: Scales of the gradient term.
        reduction: See :func:`reduce_pixels`; trimming over the batch needs ``'batch'``.

    Returns:
        Two scalars, at least float32; 0 without gradient where no pixel counts.

    Reference: MiDaS, https://arxiv.org/abs/1907.01341, equations 4 to 11. The paper trims 20 % of
    an image; the authors' public gist of the robust form does not trim, by accident.
    """
    dtype = torch.promote_types(pred.dtype, torch.float32)
    with torch.autocast(pred.device.type, enabled=False):
        pred = torch.where(mask, pred, 0).to(dtype)
        target = torch.where(mask, target, 0).to(dtype)
        counts = mask.sum(dim=(1, 2, 3))
        if form == 'least_squares':
            residual = align_least_squares(pred, target, mask) - target
            errors = residual.square().sum(dim=(1, 2, 3))
        else:
            residual = normalize_robustly(pred, mask) - normalize_robustly(target, mask)
            if trim_over == 'image':
                errors = trimmed_sum(residual.abs().flatten(1), mask.flatten(1), trim)
            else:
                errors = trimmed_sum(residual.abs().view(1, -1), mask.view(1, -1), trim)
                counts = counts.sum(dim=0, keepdim=True)
        data = reduce_pixels(errors, counts, reduction) / 2
        gradient = gradient_matching_loss(residual, mask, scales, reduction)
        return data, gradient_weight * gradient


@MODELS.register_module()
class ScaleShiftInvariantLoss(nn.Module):
    """Weighted :func:`scale_shift_invariant_loss`, for relative depth.

    Args:
        loss_weight: Factor of the loss.
        form: ``'least_squares'`` or ``'robust'`` (median, mean absolute deviation, trimmed).
        trim: Share of largest residuals of an image that the robust form leaves out.
        gradient_weight: Factor of the multi-scale gradient term.
        scales: Its number of scales.
        reduction: ``'image'``: every image counts alike, so sparse labels (LiDAR) count as much as
            dense ones; ``'batch'``: every pixel counts alike, as published.

    Raises:
        ValueError: If an option has an unknown value.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        form: str = 'least_squares',
        trim: float = 0.2,
        gradient_weight: float = 0.5,
        scales: int = 4,
        reduction: str = 'image',
    ) -> None:
        super().__init__()
        if form not in ('least_squares', 'robust'):
            raise ValueError(
                f"ScaleShiftInvariantLoss: form is 'least_squares' or 'robust', got {form!r}"
            )
        if not 0 <= trim < 1:
            raise ValueError(
                f'ScaleShiftInvariantLoss: trim is a share from 0 to below 1, got {trim}'
            )
        check_reduction('ScaleShiftInvariantLoss', reduction)
        self.loss_weight = loss_weight
        self.options = dict(
            form=form,
            trim=trim,
            gradient_weight=gradient_weight,
            scales=scales,
            reduction=reduction,
        )

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted sum of data and gradient term of maps (N, 1, H, W)."""
        data, gradient = scale_shift_invariant_loss(pred, target, mask, **self.options)
        return self.loss_weight * (data + gradient)


@MODELS.register_module()
class GradientMatchingLoss(nn.Module):
    """Weighted :func:`gradient_matching_loss` of log depth, beside a loss on metric depth.

    The logarithm makes it independent of the scale of the scene. Only neighbours that both have
    ground truth are compared, so holes and sparse labels give no false edges.

    Args:
        loss_weight: Factor of the loss.
        scales: Number of scales.
        reduction: ``'image'`` or ``'batch'``, see :func:`reduce_pixels`.

    Raises:
        ValueError: If the reduction is unknown.
    """

    def __init__(self, loss_weight: float = 0.5, scales: int = 4, reduction: str = 'image') -> None:
        super().__init__()
        check_reduction('GradientMatchingLoss', reduction)
        self.loss_weight, self.scales, self.reduction = loss_weight, scales, reduction

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        with torch.autocast(pred.device.type, enabled=False):
            # A prediction of 0 m is clamped to 1 mm, the nearest depth of all data sets.
            log_pred = torch.where(mask, pred.float(), 1).clamp(min=1e-3).log()
            residual = log_pred - torch.where(mask, target.float(), 1).log()
            loss = gradient_matching_loss(residual, mask, self.scales, self.reduction)
        return self.loss_weight * loss


def check_reduction(loss: str, reduction: str) -> None:
    """Raise ValueError if a reduction is unknown."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{loss}: reduction is 'batch' or 'image', got {reduction!r}")
