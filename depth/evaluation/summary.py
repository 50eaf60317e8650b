"""Moments of single images under a protocol, and their summary as the protocol's results."""

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .detail import bin_metrics, boundary_metrics
from .focal_groups import GROUP_METRICS, group_results, scale_errors, spreads
from .functional import MOMENTS, combine_moments, depth_moments, metrics_from_moments
from .pixel_metrics import PixelMetric, pixel_metric_moments
from .protocols import Protocol
from .report import ProtocolResult
from .views import list_partial_views


def moment_names(pixel_metrics: Sequence[PixelMetric]) -> list[str]:
    """Return the names of the moments that :func:`image_moments` returns, in its order."""
    names = list(MOMENTS)
    for metric in pixel_metrics:
        names.extend(metric.moment_names)
    return names


def image_moments(
    protocol: Protocol,
    pixel_metrics: Sequence[PixelMetric],
    prepared: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Return the moments of every image as one tensor (N, M), M ordered as :func:`moment_names`.

    Args:
        protocol: Whose definitions of the metrics count.
        pixel_metrics: Registered metrics besides the usual ones.
        prepared: Depth, ground truth and mask, (N, H, W) each, from ``protocol.prepare``.
    """
    moments = depth_moments(*prepared, eps_ratio=protocol.eps_ratio, eps_log=protocol.eps_log)
    moments |= pixel_metric_moments(pixel_metrics, *prepared)
    return torch.stack(list(moments.values()), dim=1)


def summarize(
    results: Sequence[dict], protocol: Protocol, pixel_metrics: Sequence[PixelMetric]
) -> ProtocolResult:
    """Return a protocol's metrics over images.

    Args:
        results: One dict an image: ``name``, ``kind``, ``tta``, ``view`` and ``moments``, those of
            :func:`image_moments` by the protocol's name.
        protocol: The protocol.
        pixel_metrics: Registered metrics besides the usual ones.
    """
    table = torch.stack([result['moments'][protocol.name] for result in results])
    moments = dict(zip(moment_names(pixel_metrics), table.unbind(dim=1), strict=True))
    scored = moments['count'] > 0
    moments = {name: values[scored] for name, values in moments.items()}
    values = _metrics(moments, protocol, pixel_metrics)
    if protocol.average == 'image' or not scored.any():
        means = {name: column.mean() for name, column in values.items()}
    else:
        # The root of a mean of squares is not the mean of roots: moments are averaged first.
        means = _metrics(combine_moments(moments, protocol.average), protocol, pixel_metrics)
    names, skipped = [], []
    for result, is_scored in zip(results, scored.tolist(), strict=True):
        (names if is_scored else skipped).append(result['name'])
    view = ''
    # Any other protocol has refused all views but its own.
    if protocol.view == 'any':
        view = list_partial_views([result['view'] for result in results])
    summary = ProtocolResult(
        protocol=protocol,
        metrics={name: float(mean) for name, mean in means.items()},
        names=names,
        values={name: column.tolist() for name, column in values.items()},
        skipped=skipped,
        prediction_type=_join_distinct(results, 'kind'),
        tta=_join_distinct(results, 'tta'),
        calibration=_join_distinct(results, 'calibration'),
        view=view,
    )
    if protocol.focal_edges and names:
        scored_results = []
        for result, is_scored in zip(results, scored.tolist(), strict=True):
            if is_scored:
                scored_results.append(result)
        _add_focal_groups(summary, scored_results, moments, pixel_metrics)
    return summary


def _add_focal_groups(
    summary: ProtocolResult,
    results: Sequence[dict],
    moments: dict[str, Tensor],
    pixel_metrics: Sequence[PixelMetric],
) -> None:
    """Add the metrics of each group of focal lengths, and their spread if there are two groups.

    Args:
        summary: Result of the protocol, of all groups together.
        results: One dict a scored image.
        moments: Moments (N,) of the scored images by name.
        pixel_metrics: Registered metrics besides the usual ones.
    """
    protocol = summary.protocol
    plain = dataclasses.replace(protocol, focal_edges=())
    errors = scale_errors(moments['log_mean'])
    groups = group_results(results, protocol.focal_edges)
    abs_rels, group_errors = [], []
    for group, indices in groups.items():
        metrics = summarize([results[index] for index in indices], plain, pixel_metrics).metrics
        metrics['scale_error'] = float(scale_errors(moments['log_mean'][indices].mean()))
        abs_rels.append(metrics['abs_rel'])
        group_errors.append(metrics['scale_error'])
        for name in GROUP_METRICS:
            column = errors.tolist() if name == 'scale_error' else summary.values[name]
            in_group: list[float | None] = [None] * len(results)
            for index in indices:
                in_group[index] = column[index]
            label = f'{name}_{group}'
            summary.metrics[label] = metrics[name]
            summary.values[label] = in_group
            summary.counts[label] = len(indices)
    if len(groups) > 1:
        for name, value in spreads(abs_rels, group_errors).items():
            summary.metrics[name] = value
            summary.counts[name] = len(results)


def _join_distinct(results: Sequence[dict], key: str) -> str:
    """Return the distinct values of a key of the images as one text."""
    return '/'.join(sorted({result[key] for result in results}))


def add_details(
    result: ProtocolResult, results: Sequence[dict], bins: Sequence[str], boundary: bool
) -> None:
    """Add the metrics by distance and at depth edges to a protocol's result.

    Args:
        result: Result of the protocol whose details were measured.
        results: One dict an image, with ``moments`` and ``details``: ``bins`` (bins, 4) and
            ``boundary`` (3,).
        bins: Names of the distance bins.
        boundary: Whether there are boundary counts.
    """
    # Images without valid pixels are left out here as they are in the result.
    count_column = MOMENTS.index('count')
    protocol = result.protocol.name
    details = []
    for image in results:
        if image['moments'][protocol][count_column] > 0:
            details.append(image['details'])
    if not details:
        return
    for index, bin_name in enumerate(bins):
        moments = torch.stack([detail['bins'][index] for detail in details])
        for name, values in bin_metrics(moments).items():
            _add_partial_metric(result, f'{name}_{bin_name}', values)
    if boundary:
        counts = torch.stack([detail['boundary'] for detail in details])
        for name, values in boundary_metrics(counts).items():
            _add_partial_metric(result, name, values)


def _metrics(
    moments: dict[str, Tensor], protocol: Protocol, pixel_metrics: Sequence[PixelMetric]
) -> dict[str, Tensor]:
    metrics = metrics_from_moments(moments, silog=protocol.silog, log10=protocol.log10)
    for metric in pixel_metrics:
        metrics[metric.name] = metric.compute(moments)
    return metrics


def _add_partial_metric(result: ProtocolResult, name: str, values: Tensor) -> None:
    """Add a metric that not every image has, as the mean over those that have it, if any has."""
    present = values[~values.isnan()]
    if len(present):
        result.metrics[name] = float(present.mean())
        result.values[name] = [None if math.isnan(value) else value for value in values.tolist()]
        result.counts[name] = len(present)
