"""The metric that validation and test loops run."""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from depth.atomic_write import write_atomically
from depth.registry import METRICS

from .detail import bin_moments, bin_names, boundary_counts, check_bins
from .functional import MOMENTS, depth_moments
from .prediction_types import get_prediction_type
from .protocols import Protocol, applicable_protocols, get_protocol
from .report import ProtocolResult, side_by_side, table
from .summary import summarize

ALL = 'all'


@METRICS.register_module()
class DepthMetric(BaseMetric):
    """Depth metrics under a named protocol, and the same predictions under others beside it.

    Images without a valid pixel are left out and counted. With several processes no image is counted twice. Nothing is
    read back from the device before the end, so scoring does not wait for the model.

    Args:
        protocol: Name in ``depth.evaluation.protocols``. Its metrics have plain names (``abs_rel``).
        min_depth: Another near end of its range, in metres.
        max_depth: Another far end of its range, in metres.
        crop: Another crop. Any change shows in the protocol's name.
        resize: Another rule for predictions of another size.
        protocols: Further protocols, whose metrics are called ``<protocol>/abs_rel``; ``'all'`` takes every one that is
            made for the data set and can score the predictions' type.
        distance_bins: Edges in metres of bins of true depth, for ``abs_rel_2-5m``, ``rmse_...`` and ``d1_...``.
        boundary_ratio: Two neighbours are an edge where one is that many times as far, for ``boundary_precision``,
            ``boundary_recall`` and ``boundary_f1``; needs dense ground truth.
        prediction_type: What predictions are that do not say it themselves, see ``PredictionType``.
        prefix: Goes in front of the metric names.
        collect_device: Where the processes' rows are gathered.

    Raises:
        ValueError: If an option is wrong, a prediction cannot be scored by the protocol, does not fit its ground truth
            or is not finite and positive, or nothing was scored.
    """

    default_prefix = ''

    def __init__(
        self,
        protocol: str,
        min_depth: float | None = None,
        max_depth: float | None = None,
        crop: str | None = None,
        resize: str | None = None,
        protocols: Sequence[str] | str = (),
        distance_bins: Sequence[float] | None = None,
        boundary_ratio: float | None = None,
        prediction_type: str = 'metric',
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.protocol = get_protocol(protocol).modified(
            min_depth=min_depth, max_depth=max_depth, crop=crop, resize=resize
        )
        if isinstance(protocols, str) and protocols != ALL:
            raise ValueError(f"DepthMetric.protocols is a list of names or 'all', got {protocols!r}")
        self.wants_all = protocols == ALL
        named = [] if self.wants_all else [get_protocol(name) for name in protocols]
        self.others: list[Protocol] = [other for other in named if other.name != self.protocol.name]
        self.left_out: dict[str, str] = {}
        self.chosen_for: str | None = None  # the data set whose protocols 'all' stands for
        self.distance_bins = None if distance_bins is None else check_bins(distance_bins)
        if boundary_ratio is not None and not boundary_ratio > 1:
            raise ValueError(f'boundary_ratio is how many times as far one neighbour is, above 1, got {boundary_ratio}')
        self.boundary_ratio = boundary_ratio
        self.prediction_type = prediction_type
        self.num_images = self.num_skipped = 0
        self.outcome: list[ProtocolResult] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch; only a row of numbers an image is kept, on the device."""
        for sample in data_samples:
            self._check(sample)
            if self.wants_all:
                self._choose(sample)
        for group in _equal_shapes(data_samples):
            self._score(group)

    def _check(self, sample: dict) -> None:
        name = sample.get('img_path', 'a sample')
        if 'gt_depth' not in sample:
            raise ValueError(f'{name} has no gt_depth, so it cannot be scored; does the test pipeline load depth?')
        self.protocol.check_view(sample.get('crop_box'), name)
        if self.chosen_for not in (None, sample.get('dataset', '')):
            raise ValueError(
                f"protocols='all' means those of one data set, but {name} is of {sample.get('dataset', '')!r} after "
                f'images of {self.chosen_for!r}; test the data sets one by one or name the protocols'
            )
        self.protocol.check_size(sample['pred_depth'].shape, sample['gt_depth'].shape, name)

    def _kind(self, sample: dict) -> str:
        return sample.get('prediction_type', self.prediction_type)

    def _choose(self, sample: dict) -> None:
        """Find the protocols that apply to the first sample; they are used for all."""
        self.wants_all, self.chosen_for = False, sample.get('dataset', '')
        for other in applicable_protocols(sample.get('dataset', ''), self._kind(sample), sample.get('max_depth')):
            if other.name == self.protocol.name:
                continue
            try:
                other.check_view(sample.get('crop_box'), sample.get('img_path', 'a sample'))
                pred = sample['pred_depth'][None]
                other.prepare(pred, sample['gt_depth'][None].to(pred.device), self._kind(sample))
            except ValueError as error:
                self.left_out[other.name] = str(error)
            else:
                self.others.append(other)

    def _score(self, samples: list[dict]) -> None:
        kind = get_prediction_type(self._kind(samples[0]))
        pred = torch.stack([sample['pred_depth'] for sample in samples])
        gt_depth = torch.stack([sample['gt_depth'] for sample in samples]).to(pred.device)
        columns = []
        for protocol in (self.protocol, *self.others):
            prepared = protocol.prepare(pred, gt_depth, kind)
            columns.append(depth_moments(*prepared, eps_ratio=protocol.eps_ratio, eps_log=protocol.eps_log))
            if protocol is self.protocol:
                columns.extend(self._details(*prepared))
        rows = torch.cat(columns, dim=1)
        for sample, row in zip(samples, rows, strict=True):
            name = str(sample.get('img_path', sample.get('sample_idx', len(self.results))))
            self.results.append(dict(name=name, kind=kind.value, tta=sample.get('tta', 'unknown'), row=row))

    def _details(self, pred: Tensor, gt_depth: Tensor, mask: Tensor) -> list[Tensor]:
        columns = []
        if self.distance_bins is not None:
            columns.append(bin_moments(pred, gt_depth, mask, self.distance_bins))
        if self.boundary_ratio is not None:
            columns.append(boundary_counts(pred, gt_depth, mask, self.boundary_ratio))
        return columns

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics of ``size`` images, from all processes; see mmengine's ``BaseMetric``."""
        fetch_rows(self.results)
        return super().evaluate(size)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Average over images and print the table."""
        bins = [] if self.distance_bins is None else bin_names(self.distance_bins)
        self.outcome = summarize(results, self.protocol, self.others, bins, self.boundary_ratio is not None)
        first = self.outcome[0]
        self.num_images, self.num_skipped = len(first.names), len(first.skipped)
        if not first.names:
            raise ValueError(
                f'none of the {len(results)} images has ground truth that counts under {self.protocol.name} '
                f'({self.protocol.min_depth:g} to {self.protocol.max_depth:g} m, crop {self.protocol.crop})'
            )
        logger = MMLogger.get_current_instance()
        logger.info(table(first))
        if len(self.outcome) > 1 or self.left_out:
            logger.info(side_by_side(self.outcome, self.left_out))
        metrics = dict(first.metrics)
        for other in self.outcome[1:]:
            metrics |= {f'{other.protocol.name}/{name}': value for name, value in other.metrics.items()}
        return metrics

    def write_protocol(self, path: str | Path) -> None:
        """Write what describes the last numbers as JSON: the protocol and the image counts; others below ``others``."""
        first, *others = [result.describe() for result in self.outcome]
        content = dict(first, others=others, left_out=self.left_out)
        write_atomically(path, json.dumps(content, indent=2) + '\n')

    def write_per_image(self, path: str | Path) -> None:
        """Write every image's metrics as JSON, one entry a protocol; ``compare_results.py`` reads it."""
        content = dict(results=[result.per_image() for result in self.outcome])
        write_atomically(path, json.dumps(content) + '\n')


def fetch_rows(results: Sequence[dict]) -> None:
    """Bring the rows of images scored by one metric to the CPU, in one transfer, and check them.

    Raises:
        ValueError: If a prediction is not finite and positive where it counts.
    """
    if not results:
        return
    rows = torch.stack([result['row'] for result in results]).cpu()
    for result, row in zip(results, rows, strict=True):
        result['row'] = row
        count, bad = (int(row[MOMENTS.index(name)]) for name in ('count', 'bad'))
        if bad:
            raise ValueError(f'{result["name"]}: {bad} of {count} scored predictions are not finite and positive')


def _equal_shapes(samples: Sequence[dict]) -> list[list[dict]]:
    """Return the samples in their order, in runs that can be stacked."""

    def key(sample: dict) -> tuple:
        return sample['pred_depth'].shape, sample['gt_depth'].shape, sample.get('prediction_type')

    return [list(group) for _, group in groupby(samples, key)]
