"""Registry of pixel metrics: further metrics from means over the valid pixels of an image."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .detail import BOUNDARY_METRICS
from .functional import ALL_METRIC_NAMES, MOMENTS, valid_pairs

PixelFunction = Callable[[Tensor, Tensor], Tensor]
ValueFunction = Callable[[dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class PixelMetric:
    """A metric computed from moments: means over the valid pixels of one image or of several.

    Attributes:
        name: Name in configs, tables and files.
        pixel_functions: Per-pixel functions by the name of the moment that is their mean. Each
            takes depth and ground truth, (N, P) float64 in metres, and returns (N, P).
        value: Returns the metric, of any shape, from moments of that shape by name: its own and
            those of ``depth.evaluation.functional.MOMENTS``.
        higher_is_better: Whether a better prediction has a larger value.
    """

    name: str
    pixel_functions: dict[str, PixelFunction]
    value: ValueFunction
    higher_is_better: bool

    @property
    def moment_names(self) -> list[str]:
        """Names of its own moments among those of all metrics: ``mae.absolute``."""
        return [f'{self.name}.{moment}' for moment in self.pixel_functions]

    def compute(self, moments: dict[str, Tensor]) -> Tensor:
        """Return the metric from the moments of all metrics, one value an image or a scalar.

        Raises:
            ValueError: If the registered function returns another shape.
        """
        visible = {name: moments[name] for name in MOMENTS}
        for name, full_name in zip(self.pixel_functions, self.moment_names, strict=True):
            visible[name] = moments[full_name]
        value = self.value(visible)
        _check_shape(value, moments['count'], f'the value of pixel metric {self.name!r}')
        return value


PIXEL_METRICS: dict[str, PixelMetric] = {}


def register_pixel_metric(
    moments: dict[str, PixelFunction] | None = None, *, higher_is_better: bool = False
) -> Callable[[ValueFunction], ValueFunction]:
    """Return a decorator that registers a function as the pixel metric of its name.

    The function returns the metric from a dict of moments; ``DepthMetric(pixel_metrics=[name])``
    measures it.

    Args:
        moments: Per-pixel functions of the moments that the toolbox does not have, see
            :class:`PixelMetric`.
        higher_is_better: Whether a better prediction has a larger value.

    Raises:
        ValueError: If the metric or a moment has a name that is taken.
    """
    pixel_functions = dict(moments or {})
    for name in pixel_functions:
        if name in MOMENTS:
            raise ValueError(
                f'register_pixel_metric: moment {name!r} exists already; choose another name'
            )

    def register(value: ValueFunction) -> ValueFunction:
        name = value.__name__
        if name in ALL_METRIC_NAMES or name in BOUNDARY_METRICS:
            raise ValueError(f'metric {name!r} is one of DepthMetric itself; choose another name')
        registered = PIXEL_METRICS.get(name)
        # A module that is imported again registers the same function again.
        if registered is not None and registered.value.__module__ != value.__module__:
            raise ValueError(
                f'pixel metric {name!r} is registered by {registered.value.__module__}; choose '
                'another name'
            )
        PIXEL_METRICS[name] = PixelMetric(name, pixel_functions, value, higher_is_better)
        return value

    return register


def get_pixel_metrics(names: Sequence[str]) -> list[PixelMetric]:
    """Return registered pixel metrics by name.

    Raises:
        ValueError: If ``names`` is no list, or there is no such metric; the message lists the
            nearest names.
    """
    if isinstance(names, str):
        raise ValueError(f'pixel_metrics is a list of names, got {names!r}')
    return [_get_pixel_metric(name) for name in dict.fromkeys(names)]


def _get_pixel_metric(name: str) -> PixelMetric:
    if name in ALL_METRIC_NAMES:
        raise ValueError(
            f'metric {name!r} is measured always; pixel_metrics names registered ones only'
        )
    if name not in PIXEL_METRICS:
        near = difflib.get_close_matches(name, PIXEL_METRICS, n=3, cutoff=0.3)
        near = near or sorted(PIXEL_METRICS)
        hint = 'none is registered;'
        if near:
            hint = f'did you mean {", ".join(near)}?'
        raise ValueError(f'unknown pixel metric {name!r}, {hint} is its module in custom_imports?')
    return PIXEL_METRICS[name]


def pixel_metric_moments(
    metrics: Sequence[PixelMetric], pred: Tensor, target: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """Return the own moments of pixel metrics, (N,) float64 by their full names.

    Args:
        metrics: The pixel metrics.
        pred: Predicted depth in metres, (N, H, W).
        target: Ground truth in metres, same shape.
        mask: Boolean, same shape. An image without any valid pixel gets zeros.

    Raises:
        ValueError: If a per-pixel function returns another shape than that of its arguments.
    """
    moments = {}
    if not metrics:
        return moments
    pred, target, mask = valid_pairs(pred, target, mask)
    divisor = mask.count_nonzero(dim=1).clamp(min=1)
    for metric in metrics:
        functions = metric.pixel_functions.values()
        for full_name, function in zip(metric.moment_names, functions, strict=True):
            values = function(pred, target)
            _check_shape(values, pred, f'moment {full_name!r}')
            # Masked again: a function need not be 0 where depth and ground truth are equal.
            moments[full_name] = values.double().masked_fill(~mask, 0).sum(dim=1) / divisor
    return moments


def _check_shape(values: Tensor, expected: Tensor, label: str) -> None:
    if values.shape != expected.shape:
        raise ValueError(
            f'{label} has shape {tuple(values.shape)}, expected {tuple(expected.shape)}'
        )
