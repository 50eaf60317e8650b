"""Calibration of metric depth: a map of the scale, fitted to a few labelled images of a camera.

Networks give the wrong scale for cameras unlike those of their training. A calibration corrects
what all images have in common. It is one function of the depth, with one or two numbers, fitted by
least squares over images of equal weight. Cross-validation over the images chooses the function; a
bootstrap over the images gives the intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

# Calibrated inverse depth is at least this, in 1/m: an offset may move far points beyond infinity.
MIN_INVERSE_DEPTH = 1e-3
KINDS = {
    'scale': 'depth times a factor',
    'log_scale_shift': 'logarithm of the depth times a factor plus an offset',
    'inverse_scale_shift': 'inverse depth times a factor plus an offset',
}
# Fewer images leave no honest error: each number needs images that it was not fitted to.
MIN_IMAGES = {'scale': 2, 'log_scale_shift': 4, 'inverse_scale_shift': 4}


@dataclass(frozen=True)
class DepthCalibration:
    """Function from predicted to calibrated depth, with the evidence for it.

    Attributes:
        kind: Key of :data:`KINDS`.
        slope: Factor in the domain of the kind: of the depth, of its logarithm, or of its inverse.
        offset: Offset in the same domain: 0 for ``'scale'``, else in log metres or 1/m.
        slope_interval: 95 % interval of the slope, a bootstrap over images.
        offset_interval: The same for the offset.
        num_images: Images that it was fitted to.
        abs_rel_before: Mean ``abs_rel`` over these images without calibration.
        abs_rel_after: The same with it, each image calibrated by a fit to the others
            (cross-validation).
        images: Names of the images.

    Raises:
        ValueError: If the kind is unknown, or a number is not finite or makes no depth.
    """

    kind: str
    slope: float
    offset: float
    slope_interval: tuple[float, float]
    offset_interval: tuple[float, float]
    num_images: int
    abs_rel_before: float
    abs_rel_after: float
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f'unknown calibration {self.kind!r}, there are {", ".join(KINDS)}')
        if not (math.isfinite(self.slope) and math.isfinite(self.offset) and self.slope > 0):
            raise ValueError(
                f'a calibration has a positive slope and a finite offset, got {self.slope} and '
                f'{self.offset}'
            )

    def __call__(self, depth: Tensor) -> Tensor:
        """Return calibrated depth in metres; 0, which means no depth, stays 0.

        Args:
            depth: Any shape, metres.
        """
        return apply_fit(self.kind, depth, self.slope, self.offset)

    def describe(self) -> str:
        """Return the function, its interval and its evidence in one line."""
        low, high = self.slope_interval
        text = f'calibrated on {self.num_images} images: {KINDS[self.kind]}, {self.slope:.4g}'
        text += f' (95 % interval {low:.4g} to {high:.4g})'
        if self.kind != 'scale':
            low, high = self.offset_interval
            text += f' and {self.offset:.4g} ({low:.4g} to {high:.4g})'
        before, after = self.abs_rel_before, self.abs_rel_after
        return f'{text}; cross-validated abs_rel {before:.4f} -> {after:.4f}'

    def to_plain(self) -> dict:
        """Return it as plain values for a checkpoint's metadata."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping, source: str) -> 'DepthCalibration':
        """Return the calibration that a checkpoint's metadata holds.

        Args:
            values: What :meth:`to_plain` gave.
            source: The file, for messages.

        Raises:
            ValueError: If values are missing, unknown or impossible.
        """
        try:
            values = dict(values)
            for name in ('slope_interval', 'offset_interval', 'images'):
                values[name] = tuple(values[name])
            return cls(**values)
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(
                f'{source}: the calibration in its metadata is damaged: {error}'
            ) from error


def stored_calibration(checkpoint: Mapping, source: str) -> DepthCalibration | None:
    """Return the calibration in a checkpoint's metadata, None if there is none.

    Args:
        checkpoint: Content of the file.
        source: The file, for messages.

    Raises:
        ValueError: If it is damaged.
    """
    meta = checkpoint.get('meta')
    values = meta.get('calibration') if isinstance(meta, Mapping) else None
    return None if values is None else DepthCalibration.from_plain(values, source)


def apply_fit(kind: str, depth: Tensor, slope: Tensor | float, offset: Tensor | float) -> Tensor:
    """Return depth mapped by the function of a kind; 0 stays 0.

    Args:
        kind: Key of :data:`KINDS`.
        depth: Metres.
        slope: Number, or tensor that broadcasts with ``depth``.
        offset: As ``slope``.
    """
    is_depth = depth > 0
    safe = torch.where(is_depth, depth, 1)
    if kind == 'scale':
        mapped = safe * slope
    elif kind == 'log_scale_shift':
        mapped = torch.exp(safe.log() * slope + offset)
    else:
        mapped = (slope / safe + offset).clamp(min=MIN_INVERSE_DEPTH).reciprocal()
    return torch.where(is_depth, mapped, 0)


def fit_calibration(
    pred: Tensor,
    gt_depth: Tensor,
    kind: str = 'auto',
    images: Sequence[str] = (),
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[DepthCalibration, dict[str, float]]:
    """Fit a calibration to pixels of K images.

    ``'auto'`` takes the function of fewest numbers whose cross-validated ``abs_rel`` is within one
    standard error of the best one's (the one-standard-error rule of Breiman et al., Classification
    and Regression Trees, 1984).

    Args:
        pred: Predicted depth (K, P) in metres, P pixels of each image.
        gt_depth: Ground truth (K, P) in metres, 0 = none.
        kind: ``'auto'`` or a key of :data:`KINDS`.
        images: Names of the images.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        The calibration, and the cross-validated ``abs_rel`` of every kind tried, with ``'none'``
        for no calibration.

    Raises:
        ValueError: If the images are too few, an image has no valid pixel, no function of the kind
            fits, or none is better than no calibration.
    """
    if kind != 'auto' and kind not in KINDS:
        raise ValueError(f'unknown calibration {kind!r}, there are auto, {", ".join(KINDS)}')
    pred, gt_depth = pred.double(), gt_depth.double()
    valid = (gt_depth > 0) & (pred > 0) & pred.isfinite()
    count = len(pred)
    least = MIN_IMAGES['scale' if kind == 'auto' else kind]
    if count < least:
        raise ValueError(
            f'a calibration of kind {kind!r} needs {least} labelled images, got {count}; more make '
            'its interval narrower'
        )
    empty = torch.nonzero(~valid.any(dim=1)).flatten().tolist()
    if empty:
        name = images[empty[0]] if images else f'number {empty[0]}'
        raise ValueError(f'image {name} has no pixel with ground truth; leave it out')
    pred = torch.where(valid, pred, 1)
    gt_depth = torch.where(valid, gt_depth, 1)

    errors = {'none': _abs_rel(pred, gt_depth, valid)}
    refusals = {}
    candidates = list(KINDS) if kind == 'auto' else [kind]
    for name in candidates:
        if count < MIN_IMAGES[name]:
            continue
        moments = _moments(name, pred, gt_depth, valid)
        # Each image is calibrated by the fit to all others.
        slope, offset = _solve(name, moments.sum(dim=0) - moments)
        if not (slope > 0).all() or not offset.isfinite().all():
            refusals[name] = f'{name}: predictions and ground truth do not grow together'
            continue
        mapped = apply_fit(name, pred, slope[:, None], offset[:, None])
        errors[name] = _abs_rel(mapped, gt_depth, valid)
    fitted = [name for name in candidates if name in errors]
    if not fitted:
        raise ValueError(f'no calibration fits: {"; ".join(refusals.values())}')
    best = min(fitted, key=lambda name: float(errors[name].mean()))
    limit = errors[best].mean() + errors[best].std() / math.sqrt(count)
    # KINDS has the kind of one number first.
    chosen = next(name for name in fitted if errors[name].mean() <= limit)
    before, after = float(errors['none'].mean()), float(errors[chosen].mean())
    if after >= before:
        raise ValueError(
            f'no calibration helps: cross-validated abs_rel is {before:.4f} without and '
            f'{after:.4f} with the best one; the scale is right, or the errors differ too much '
            'from image to image'
        )

    moments = _moments(chosen, pred, gt_depth, valid)
    slope, offset = _solve(chosen, moments.sum(dim=0))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(count, (num_resamples, count), generator=generator)
    resampled = _solve(chosen, moments[drawn].sum(dim=1))
    levels = torch.tensor([0.025, 0.975], dtype=torch.double)
    slope_interval, offset_interval = (values.quantile(levels).tolist() for values in resampled)
    means = {name: float(values.mean()) for name, values in errors.items()}
    calibration = DepthCalibration(
        kind=chosen,
        slope=float(slope),
        offset=float(offset),
        slope_interval=tuple(slope_interval),
        offset_interval=tuple(offset_interval),
        num_images=count,
        abs_rel_before=means['none'],
        abs_rel_after=means[chosen],
        images=tuple(images),
    )
    return calibration, means


def _abs_rel(pred: Tensor, gt_depth: Tensor, valid: Tensor) -> Tensor:
    """Return the mean relative error (K,) of each image."""
    relative = torch.where(valid, (pred - gt_depth).abs() / gt_depth, 0)
    return relative.sum(dim=1) / valid.sum(dim=1)


def _moments(kind: str, pred: Tensor, gt_depth: Tensor, valid: Tensor) -> Tensor:
    """Return the weighted sums (K, 5) of w, wx, wy, wxx and wxy; each image has the same weight.

    x and y are prediction and ground truth in the domain of the kind. Inverse depth is weighted by
    the squared depth, so that its errors count relative to it as those of the logarithm do.
    """
    weight = valid / valid.sum(dim=1, keepdim=True)
    if kind == 'inverse_scale_shift':
        x, y = pred.reciprocal(), gt_depth.reciprocal()
        weight = weight * gt_depth.square()
    else:
        x, y = pred.log(), gt_depth.log()
    sums = [weight, weight * x, weight * y, weight * x * x, weight * x * y]
    return torch.stack(sums, dim=-1).sum(dim=1)


def _solve(kind: str, moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and offset (...) of the least-squares fit with the sums (..., 5)."""
    w, wx, wy, wxx, wxy = moments.unbind(dim=-1)
    if kind == 'scale':
        # A factor of the depth is an offset of its logarithm.
        return torch.exp((wy - wx) / w), torch.zeros_like(w)
    slope = (w * wxy - wx * wy) / (w * wxx - wx * wx)
    return slope, (wy - slope * wx) / w
