"""``DepthMetric``: the evaluator of validation and test loops, under one or more protocols."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from depth.atomic_write import write_atomically
from depth.registry import METRICS

from .detail import (
    BIN_METRICS,
    BOUNDARY_METRICS,
    bin_moments,
    bin_names,
    boundary_counts,
    check_bins,
)
from .focal_groups import GROUP_METRICS, SPREAD_METRICS, check_focal_edges, focal_share, group_names
from .functional import ALL_METRIC_NAMES, HIGHER_IS_BETTER
from .pixel_metrics import get_pixel_metrics
from .prediction_types import PredictionType, get_prediction_type
from .protocols import Protocol, applicable_protocols, get_protocol
from .report import ProtocolResult, json_text, side_by_side, table
from .summary import add_details, image_moments, moment_names, summarize
from .views import scored_view

ALL = 'all'


@METRICS.register_module()
class DepthMetric(BaseMetric):
    """Depth metrics under a named protocol, and under further protocols for the same predictions.

    Images without a valid pixel are left out and counted. With several processes no image is
    counted twice. Nothing is read back from the device before the end, so scoring does not wait for
    the model.

    Args:
        protocol: Name in ``depth.evaluation.protocols``. Its metrics have plain names
            (``abs_rel``).
        min_depth: Another near end of its range, in metres.
        max_depth: Another far end of its range, in metres.
        crop: Another crop. Any change shows in the protocol's name.
        resize: Another rule for predictions of another size.
        view: Another view of the frame, see ``depth.evaluation.views``.
        focal_edges: Focal lengths in image widths between groups that get metrics of their own, see
            ``depth.evaluation.focal_groups``.
        protocols: Further protocols, whose metrics are called ``<protocol>/abs_rel``; ``'all'``
            takes every one that is made for the data set and can score the predictions' type, and
            leaves out, with the reason, those that refuse an image.
        distance_bins: Edges in metres of bins of true depth, for ``abs_rel_2-5m``, ``rmse_...`` and
            ``d1_...``.
        boundary_ratio: Two neighbours are an edge where one is that many times as far, for
            ``boundary_precision``, ``boundary_recall`` and ``boundary_f1``; needs dense ground
            truth.
        pixel_metrics: Names of registered pixel metrics, see ``register_pixel_metric``; measured
            under every protocol.
        prediction_type: Type of predictions that do not state it themselves, see
            ``PredictionType``.
        prefix: Goes in front of the metric names.
        collect_device: Where the processes' rows are gathered.

    Raises:
        ValueError: If an option is wrong, a prediction cannot be scored by the protocol, does not
            fit its ground truth or is not finite and positive, or nothing was scored.
    """

    default_prefix = ''

    def __init__(
        self,
        protocol: str,
        min_depth: float | None = None,
        max_depth: float | None = None,
        crop: str | None = None,
        resize: str | None = None,
        view: str | None = None,
        focal_edges: Sequence[float] | None = None,
        protocols: Sequence[str] | str = (),
        distance_bins: Sequence[float] | None = None,
        boundary_ratio: float | None = None,
        pixel_metrics: Sequence[str] = (),
        prediction_type: str = 'metric',
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.protocol = get_protocol(protocol).modified(
            min_depth=min_depth,
            max_depth=max_depth,
            crop=crop,
            resize=resize,
            view=view,
            focal_edges=None if focal_edges is None else check_focal_edges(focal_edges),
        )
        if isinstance(protocols, str) and protocols != ALL:
            raise ValueError(
                f"DepthMetric.protocols is a list of names or 'all', got {protocols!r}"
            )
        self.takes_all = protocols == ALL
        self.further_protocols: list[Protocol] = []
        if not self.takes_all:
            for name in protocols:
                # The main protocol has its numbers already, under plain names.
                if name != self.protocol.name:
                    self.further_protocols.append(get_protocol(name))
        self.left_out: dict[str, str] = {}
        # The data set whose protocols 'all' stands for; None until the first sample names it.
        self.chosen_dataset: str | None = None
        self.distance_bins = None if distance_bins is None else check_bins(distance_bins)
        if boundary_ratio is not None and not boundary_ratio > 1:
            raise ValueError(
                f'boundary_ratio is how many times as far one neighbour is, above 1, got '
                f'{boundary_ratio}'
            )
        self.boundary_ratio = boundary_ratio
        self.pixel_metrics = get_pixel_metrics(pixel_metrics)
        self.prediction_type = prediction_type
        self.num_images = self.num_skipped = 0
        self.outcome: list[ProtocolResult] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch; only small tensors an image are kept, on the device."""
        for sample in data_samples:
            self._check_sample(sample)
            if self.takes_all and self.chosen_dataset is None:
                self._choose_protocols(sample)
        for group in _group_equal_shapes(data_samples):
            self._score_batch(group)

    def _check_sample(self, sample: dict) -> None:
        name = sample.get('img_path', 'a sample')
        if 'gt_depth' not in sample:
            raise ValueError(
                f'{name} has no gt_depth, so it cannot be scored; does the test pipeline load '
                'depth?'
            )
        dataset = sample.get('dataset', '')
        if self.chosen_dataset not in (None, dataset):
            raise ValueError(
                f"protocols='all' means those of one data set, but {name} is of {dataset!r} after "
                f'images of {self.chosen_dataset!r}; test the data sets one by one or name the '
                'protocols'
            )
        # Protocols of 'all' do not raise here: those that refuse a sample are left out later.
        named_protocols = [self.protocol]
        if not self.takes_all:
            named_protocols += self.further_protocols
        for protocol in named_protocols:
            protocol.check_sample(sample)
            protocol.check_size(sample['pred_depth'].shape, sample['gt_depth'].shape, name)

    def _type_of(self, sample: dict) -> PredictionType:
        return get_prediction_type(sample.get('prediction_type', self.prediction_type))

    def _choose_protocols(self, sample: dict) -> None:
        """Take the protocols for the data set of the first sample; they are used for all samples.

        The choice depends on nothing else of the sample, so that all processes choose the same.
        """
        self.chosen_dataset = sample.get('dataset', '')
        applicable = applicable_protocols(
            self.chosen_dataset, self._type_of(sample), sample.get('max_depth')
        )
        for protocol in applicable:
            fits_ground_truth = sample.get('gt_filled') or not protocol.filled
            if protocol.name != self.protocol.name and fits_ground_truth:
                self.further_protocols.append(protocol)

    def _score_batch(self, samples: list[dict]) -> None:
        """Keep the moments of each image; the samples have equal shapes and one prediction type."""
        kind = self._type_of(samples[0])
        pred = torch.stack([sample['pred_depth'] for sample in samples])  # (N, h, w)
        gt_depth = torch.stack([sample['gt_depth'] for sample in samples])  # (N, H, W)
        gt_depth = gt_depth.to(pred.device)
        limited = self.protocol.limit_view(gt_depth, samples)
        prepared = self.protocol.prepare(pred, limited, kind)
        moments = {self.protocol.name: image_moments(self.protocol, self.pixel_metrics, prepared)}
        details = self._measure_details(*prepared)
        refusals: dict[str, str] = {}
        for protocol in self.further_protocols:
            try:
                if self.takes_all:
                    for sample in samples:
                        protocol.check_sample(sample)
                prepared = protocol.prepare(pred, protocol.limit_view(gt_depth, samples), kind)
            except ValueError as error:
                if not self.takes_all:
                    raise
                refusals[protocol.name] = str(error)
                # Zeros, which mean no valid pixel: each image needs a row, to be stacked later.
                moments[protocol.name] = torch.zeros_like(moments[self.protocol.name])
                continue
            moments[protocol.name] = image_moments(protocol, self.pixel_metrics, prepared)
        for index, sample in enumerate(samples):
            # A sample without a file goes by its number, then by its position.
            result = dict(
                name=str(sample.get('img_path', sample.get('sample_idx', len(self.results)))),
                kind=kind.value,
                tta=sample.get('tta', 'unknown'),
                calibration=sample.get('calibration', ''),
                focal=focal_share(sample),
                view=scored_view(
                    sample['gt_depth'].shape, sample.get('crop_box'), sample.get('frame_shape')
                ),
                refusals=refusals,
                moments={name: table[index] for name, table in moments.items()},
                details={name: table[index] for name, table in details.items()},
            )
            self.results.append(result)

    def _measure_details(self, pred: Tensor, gt_depth: Tensor, mask: Tensor) -> dict[str, Tensor]:
        details = {}
        if self.distance_bins is not None:
            details['bins'] = bin_moments(pred, gt_depth, mask, self.distance_bins)  # (N, bins, 4)
        if self.boundary_ratio is not None:
            ratio = self.boundary_ratio
            details['boundary'] = boundary_counts(pred, gt_depth, mask, ratio)  # (N, 3)
        return details

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics of ``size`` images of all processes, see mmengine's ``BaseMetric``."""
        self.fetch(self.results)
        return super().evaluate(size)

    def fetch(self, results: Sequence[dict]) -> None:
        """Bring the moments of images to the CPU and check every protocol's predictions.

        There is one transfer a protocol: one for each image would wait for the device each time.
        A further protocol that was not asked for by its name is left out instead.

        Raises:
            ValueError: If a prediction is not finite and positive where it counts.
        """
        if not results:
            return
        for key in ('moments', 'details'):
            for name in results[0][key]:
                table = torch.stack([result[key][name] for result in results]).cpu()
                for result, row in zip(results, table, strict=True):
                    result[key][name] = row
        names = moment_names(self.pixel_metrics)
        protocols = [self.protocol, *self.further_protocols]
        for result in results:
            for protocol in protocols:
                moments = dict(zip(names, result['moments'][protocol.name].tolist(), strict=True))
                if not moments['bad']:
                    continue
                problem = (
                    f'{result["name"]}: {moments["bad"]:.0f} of {moments["count"]:.0f} scored '
                    f'predictions are not finite and positive under {protocol.name}'
                )
                if protocol is self.protocol or not self.takes_all:
                    raise ValueError(problem)
                result['refusals'] = {protocol.name: problem} | result['refusals']

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Average over images and print the table.

        Raises:
            ValueError: If no image has ground truth that counts.
        """
        first = summarize(results, self.protocol, self.pixel_metrics)
        bins = []
        if self.distance_bins is not None:
            bins = bin_names(self.distance_bins)
        add_details(first, results, bins, self.boundary_ratio is not None)
        further = []
        for protocol in self.further_protocols:
            further.append(summarize(results, protocol, self.pixel_metrics))
        self.left_out = self._reasons_to_leave_out(results, further)
        self.outcome = [first]
        for result in further:
            if result.protocol.name not in self.left_out:
                self.outcome.append(result)
        self.num_images, self.num_skipped = len(first.names), len(first.skipped)
        if not first.names:
            raise ValueError(
                f'none of the {len(results)} images has ground truth that counts under '
                f'{self.protocol.name} ({self.protocol.min_depth:g} to {self.protocol.max_depth:g} '
                f'm, crop {self.protocol.crop})'
            )
        logger = MMLogger.get_current_instance()
        logger.info(table(first), extra=dict(is_result=True))
        if len(self.outcome) > 1 or self.left_out:
            logger.info(side_by_side(self.outcome, self.left_out), extra=dict(is_result=True))
        metrics = dict(first.metrics)
        for result in self.outcome[1:]:
            for name, value in result.metrics.items():
                metrics[f'{result.protocol.name}/{name}'] = value
        return metrics

    def _reasons_to_leave_out(
        self, results: Sequence[dict], further: Sequence[ProtocolResult]
    ) -> dict[str, str]:
        """Return why further protocols are left out: they refuse an image or have none to score."""
        reasons: dict[str, str] = {}
        # The reason of the first image that a protocol refused stays.
        for result in results:
            reasons = result['refusals'] | reasons
        for summary in further:
            if not summary.names:
                reason = f'none of the {len(results)} images has ground truth that counts'
                reasons.setdefault(summary.protocol.name, reason)
        return reasons

    def write_protocol(self, path: str | Path) -> None:
        """Write protocol and image counts as JSON, further protocols below ``others``."""
        described = [result.describe() for result in self.outcome]
        content = dict(described[0], others=described[1:], left_out=self.left_out)
        write_atomically(path, json_text(content, indent=2))

    def write_per_image(self, path: str | Path) -> None:
        """Write every image's metrics as JSON, one entry a protocol, for ``compare_results.py``."""
        content = dict(results=[result.per_image() for result in self.outcome])
        write_atomically(path, json_text(content))


def metric_directions(
    distance_bins: Sequence[float] | None = None,
    boundary_ratio: float | None = None,
    pixel_metrics: Sequence[str] = (),
    protocols: Sequence[str] = (),
    protocol: str | None = None,
    focal_edges: Sequence[float] | None = None,
) -> dict[str, bool]:
    """Return whether higher is better, by metric of a ``DepthMetric`` with these arguments.

    Args:
        distance_bins: See :class:`DepthMetric`.
        boundary_ratio: See :class:`DepthMetric`.
        pixel_metrics: See :class:`DepthMetric`.
        protocols: Names of further protocols, not ``'all'``: those depend on the data.
        protocol: See :class:`DepthMetric`; None for one without groups of focal lengths.
        focal_edges: See :class:`DepthMetric`.

    Raises:
        ValueError: If a pixel metric is not registered, or a protocol unknown.
    """
    usual = {name: name in HIGHER_IS_BETTER for name in ALL_METRIC_NAMES}
    for metric in get_pixel_metrics(pixel_metrics):
        usual[metric.name] = metric.higher_is_better
    directions = dict(usual)
    if distance_bins:
        for bin_name in bin_names(distance_bins):
            for name in BIN_METRICS:
                directions[f'{name}_{bin_name}'] = name in HIGHER_IS_BETTER
    if boundary_ratio:
        for name in BOUNDARY_METRICS:
            directions[name] = True
    if protocol is not None:
        directions |= _focal_directions(focal_edges or get_protocol(protocol).focal_edges)
    for further in protocols:
        of_protocol = usual | _focal_directions(get_protocol(further).focal_edges)
        for name, higher in of_protocol.items():
            directions[f'{further}/{name}'] = higher
    return directions


def _focal_directions(edges: Sequence[float]) -> dict[str, bool]:
    """Return whether higher is better, by metric of groups of focal lengths.

    Of a scale error neither is better.
    """
    directions = {}
    if edges:
        for name in SPREAD_METRICS:
            directions[name] = False
        for group in group_names(edges):
            for name in GROUP_METRICS:
                if name != 'scale_error':
                    directions[f'{name}_{group}'] = name in HIGHER_IS_BETTER
    return directions


def _group_equal_shapes(samples: Sequence[dict]) -> list[list[dict]]:
    """Return the samples in their order, in runs that can be stacked."""

    def key(sample: dict) -> tuple:
        return sample['pred_depth'].shape, sample['gt_depth'].shape, sample.get('prediction_type')

    # Neighbours only: the results stay in the order of the samples.
    return [list(group) for _, group in groupby(samples, key)]
