"""The metric that validation and test loops run."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from depth.registry import METRICS

from .functional import METRIC_NAMES, batched_depth_metrics
from .protocols import Protocol, get_protocol


@METRICS.register_module()
class DepthMetric(BaseMetric):
    """Mean over images of each image's depth metrics, under a named protocol.

    Images without a valid pixel are left out and counted. With several processes no image is counted twice.

    Args:
        protocol: Name in ``depth.evaluation.protocols``.
        min_depth: Another near end of the range, in metres.
        max_depth: Another far end of the range, in metres.
        crop: Another crop. Any change shows in the protocol's name.
        prefix: Goes in front of the metric names.
        collect_device: Where the processes' rows are gathered.

    Raises:
        ValueError: If a prediction does not fit its ground truth, is not finite and positive, or nothing was scored.
    """

    default_prefix = ''

    def __init__(
        self,
        protocol: str,
        min_depth: float | None = None,
        max_depth: float | None = None,
        crop: str | None = None,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.protocol = _modified(get_protocol(protocol), min_depth=min_depth, max_depth=max_depth, crop=crop)
        self.num_images = self.num_skipped = 0

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch; only a row of numbers an image is kept."""
        for sample in data_samples:
            self.results.append(self._score(sample))

    def _score(self, sample: dict) -> dict:
        name = sample.get('img_path', 'a sample')
        if 'gt_depth' not in sample:
            raise ValueError(f'{name} has no gt_depth, so it cannot be scored; does the test pipeline load depth?')
        pred, target = sample['pred_depth'], sample['gt_depth']
        target = target.to(pred.device)
        if pred.shape != target.shape:
            raise ValueError(
                f'{name}: the prediction is {tuple(pred.shape)}, the ground truth {tuple(target.shape)}; '
                'test pipelines crop both alike and resize the image only (resize_depth=False)'
            )
        mask = self.protocol.valid_mask(target)
        pred = self.protocol.prepare_pred(pred)
        values = batched_depth_metrics(pred[None], target[None], mask[None])
        bad = (mask & ~(torch.isfinite(pred) & (pred > 0))).sum()
        row = torch.stack([mask.sum(), bad, *(values[metric][0] for metric in METRIC_NAMES)]).tolist()
        if row[1]:
            raise ValueError(f'{name}: {row[1]:.0f} of {row[0]:.0f} scored predictions are not finite and positive')
        return dict(index=sample.get('sample_idx', -1), valid=row[0], values=row[2:])

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Average over images and print the table."""
        scored = [result['values'] for result in results if result['valid'] > 0]
        self.num_images, self.num_skipped = len(scored), len(results) - len(scored)
        if not scored:
            raise ValueError(
                f'none of the {len(results)} images has ground truth that counts under {self.protocol.name} '
                f'({self.protocol.min_depth:g} to {self.protocol.max_depth:g} m, crop {self.protocol.crop})'
            )
        means = torch.tensor(scored, dtype=torch.float64).mean(dim=0).tolist()
        metrics = dict(zip(METRIC_NAMES, means, strict=True))
        MMLogger.get_current_instance().info(self.table(metrics))
        return metrics

    def table(self, metrics: dict[str, float]) -> str:
        """Return the usual table, with the protocol and the number of images below it."""
        head = ' '.join(f'{name:>8}' for name in metrics)
        values = ' '.join(f'{value:8.4f}' for value in metrics.values())
        skipped = f', {self.num_skipped} without valid ground truth left out' if self.num_skipped else ''
        description = self.protocol.describe()
        return (
            f'\n{head}\n{values}\nprotocol {self.protocol.name} v{self.protocol.version} '
            f'({description["fingerprint"]}), mean over {self.num_images} images{skipped}'
        )

    def write_protocol(self, path: str | Path) -> None:
        """Write what describes the last numbers as JSON: the protocol and the image counts."""
        content = dict(self.protocol.describe(), num_images=self.num_images, num_skipped=self.num_skipped)
        Path(path).write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')


def _modified(protocol: Protocol, **changes: float | str | None) -> Protocol:
    changes = {name: value for name, value in changes.items() if value not in (None, getattr(protocol, name))}
    if not changes:
        return protocol
    listed = ', '.join(f'{name}={value}' for name, value in sorted(changes.items()))
    return dataclasses.replace(protocol, name=f'{protocol.name} (modified: {listed})', **changes)
