"""From the rows of single images to a protocol's numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .detail import BIN_METRICS, NUM_BIN_MOMENTS, boundary_metrics
from .functional import ALL_METRIC_NAMES, MOMENTS, combine_moments, metrics_from_moments
from .protocols import Protocol
from .report import ProtocolResult
from .views import summary


def summarize(
    results: Sequence[dict], protocol: Protocol, others: Sequence[Protocol], bins: Sequence[str], boundary: bool
) -> list[ProtocolResult]:
    """Return one result a protocol, the first with details.

    Args:
        results: One dict an image: ``name``, ``kind``, ``tta``, ``view`` and ``row``: the protocol's moments, its bins'
            (``NUM_BIN_MOMENTS`` each), its three boundary counts if there are any, then the others' moments.
        protocol: The first protocol.
        others: Further ones.
        bins: Names of the distance bins.
        boundary: Whether there are boundary counts.
    """
    rows = torch.stack([torch.as_tensor(result['row']) for result in results])
    widths = [len(MOMENTS), *[NUM_BIN_MOMENTS] * len(bins), *[3] * boundary, *[len(MOMENTS)] * len(others)]
    first, *rest = rows.split(widths, dim=1)
    details, moments = rest[: len(rest) - len(others)], rest[len(rest) - len(others) :]
    outcome = [_result(results, first, protocol)]
    scored = first[:, 0] > 0
    for name, part in zip(bins, details[: len(bins)], strict=True):
        _add(outcome[0], _bin_values(part[scored], name))
    if boundary:
        _add(outcome[0], boundary_metrics(details[-1][scored]))
    outcome.extend(_result(results, part, other) for part, other in zip(moments, others, strict=True))
    return outcome


def _result(results: Sequence[dict], moments: Tensor, protocol: Protocol) -> ProtocolResult:
    scored = (moments[:, 0] > 0).tolist()
    kept = moments[moments[:, 0] > 0]
    definition = dict(silog=protocol.silog, log10=protocol.log10)
    values = metrics_from_moments(kept, **definition)
    if protocol.average == 'image' or not len(kept):
        means = {name: value.mean() for name, value in values.items()}
    else:
        means = metrics_from_moments(combine_moments(kept, protocol.average), **definition)
    names = [result['name'] for result in results]
    return ProtocolResult(
        protocol=protocol,
        metrics={name: float(means[name]) for name in ALL_METRIC_NAMES},
        names=[name for name, has in zip(names, scored, strict=True) if has],
        values={name: values[name].tolist() for name in ALL_METRIC_NAMES},
        skipped=[name for name, has in zip(names, scored, strict=True) if not has],
        prediction_type='/'.join(sorted({result['kind'] for result in results})),
        tta='/'.join(sorted({result['tta'] for result in results})),
        view=summary(result['view'] for result in results) if protocol.view == 'any' else '',
    )


def _bin_values(part: Tensor, name: str) -> dict[str, Tensor]:
    count, abs_rel, square, d1 = part.unbind(dim=1)
    values = (abs_rel, square.sqrt(), d1)
    missing = torch.full_like(count, torch.nan)
    return {
        f'{metric}_{name}': torch.where(count > 0, value, missing)
        for metric, value in zip(BIN_METRICS, values, strict=True)
    }


def _add(result: ProtocolResult, values: dict[str, Tensor]) -> None:
    """Add metrics that not every image has: the mean over those that have it, left out if none has."""
    for name, value in values.items():
        known = value[~value.isnan()]
        if len(known):
            result.metrics[name] = float(known.mean())
            result.values[name] = [None if item != item else item for item in value.tolist()]
            result.counts[name] = len(known)
