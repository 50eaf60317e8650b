"""Metrics of a mixed validation set, each data set under its own protocol."""

import math
from collections.abc import Sequence
from pathlib import Path

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from depth.registry import METRICS


@METRICS.register_module()
class MixedDepthMetric(BaseMetric):
    """Score the samples of each data set under its own protocol.

    Metrics are called ``<dataset>/abs_rel``; under the plain name ``abs_rel`` stands the mean over the data sets, each
    with the same weight whatever its size, so that one number can choose the best checkpoint.

    Args:
        protocols: Protocol name, or arguments of ``DepthMetric``, by the samples' ``dataset``.
        prefix: Goes in front of all names.
        collect_device: Where the processes' rows are gathered.

    Raises:
        ValueError: If a sample's data set has no protocol here, or a data set sent no sample.
    """

    default_prefix = ''

    def __init__(
        self, protocols: dict[str, str | dict], prefix: str | None = None, collect_device: str = 'cpu'
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.parts = {}
        for dataset, protocol in protocols.items():
            arguments = dict(protocol=protocol) if isinstance(protocol, str) else dict(protocol)
            self.parts[dataset] = METRICS.build(dict(dict(type='DepthMetric'), **arguments))

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch; a row a sample is kept, in the samples' order."""
        for sample in data_samples:
            name = sample.get('dataset')
            if name not in self.parts:
                raise ValueError(
                    f'{sample.get("img_path", "a sample")} is of data set {name!r}, but MixedDepthMetric.protocols '
                    f'only names {", ".join(self.parts)}'
                )
            part = self.parts[name]
            part.process(data_batch, [sample])
            self.results.append((name, part.results.pop()))

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics of ``size`` images, from all processes; see mmengine's ``BaseMetric``."""
        for name, part in self.parts.items():
            part.fetch([row for dataset, row in self.results if dataset == name])
        return super().evaluate(size)

    def compute_metrics(self, results: list[tuple[str, dict]]) -> dict[str, float]:
        """Average within each data set, then over the data sets."""
        metrics: dict[str, float] = {}
        scores = []
        for name, part in self.parts.items():
            rows = [row for dataset, row in results if dataset == name]
            if not rows:
                raise ValueError(f'no sample of data set {name!r} came, though MixedDepthMetric.protocols names it')
            MMLogger.get_current_instance().info(f'{name}:')
            scores.append(part.compute_metrics(rows))
            metrics |= {f'{name}/{metric}': value for metric, value in scores[-1].items()}
        shared = [metric for metric in scores[0] if all(metric in score for score in scores)]
        return metrics | {metric: math.fsum(score[metric] for score in scores) / len(scores) for metric in shared}

    def write_protocol(self, path: str | Path) -> None:
        """Write what describes the last numbers, one JSON file a data set (``protocol_nyu.json``)."""
        for name, part in self.parts.items():
            part.write_protocol(_beside(path, name))

    def write_per_image(self, path: str | Path) -> None:
        """Write every image's metrics, one JSON file a data set (``per_image_nyu.json``)."""
        for name, part in self.parts.items():
            part.write_per_image(_beside(path, name))


def _beside(path: str | Path, name: str) -> Path:
    path = Path(path)
    return path.with_name(f'{path.stem}_{name}{path.suffix}')
