"""Metrics of a mixed validation set, each data set under its own protocol."""

import math
from collections.abc import Sequence
from pathlib import Path

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from depth.registry import METRICS


@METRICS.register_module()
class MixedDepthMetric(BaseMetric):
    """Depth metrics of a mixed validation set, by data set under its own protocol, and their mean.

    Metrics of a data set are called ``<dataset>/abs_rel``. The plain name ``abs_rel`` is the mean
    over the data sets, each with the same weight whatever its size, so that one number can choose
    the best checkpoint.

    Args:
        protocols: Protocol name, or arguments of ``DepthMetric``, by the samples' ``dataset``.
        prefix: Put in front of all names.
        collect_device: Where the processes' rows are gathered.

    Raises:
        ValueError: If a sample's data set has no protocol here, or a data set sent no sample.
    """

    default_prefix = ''

    def __init__(
        self,
        protocols: dict[str, str | dict],
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.metrics = {}
        for dataset, protocol in protocols.items():
            if isinstance(protocol, str):
                protocol = dict(protocol=protocol)
            arguments = dict(protocol)
            arguments.setdefault('type', 'DepthMetric')
            self.metrics[dataset] = METRICS.build(arguments)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch; one result a sample is kept, in the samples' order.

        Raises:
            ValueError: If a sample is of a data set without a protocol.
        """
        for sample in data_samples:
            name = sample.get('dataset')
            if name not in self.metrics:
                raise ValueError(
                    f'{sample.get("img_path", "a sample")} is of data set {name!r}, but '
                    f'MixedDepthMetric.protocols only names {", ".join(self.metrics)}'
                )
            metric = self.metrics[name]
            metric.process(data_batch, [sample])
            # Kept here, so that mmengine gathers the results of all data sets at once.
            self.results.append((name, metric.results.pop()))

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics of ``size`` images of all processes, see mmengine's ``BaseMetric``."""
        for name, metric in self.metrics.items():
            metric.fetch([result for dataset, result in self.results if dataset == name])
        return super().evaluate(size)

    def compute_metrics(self, results: list[tuple[str, dict]]) -> dict[str, float]:
        """Average within each data set, then over the data sets.

        Raises:
            ValueError: If no sample of a data set came.
        """
        values: dict[str, float] = {}
        values_of_sets: list[dict[str, float]] = []
        for name, metric in self.metrics.items():
            own_results = [result for dataset, result in results if dataset == name]
            if not own_results:
                raise ValueError(
                    f'no sample of data set {name!r} came, though MixedDepthMetric.protocols names '
                    'it'
                )
            MMLogger.get_current_instance().info(f'{name}:')
            own_values = metric.compute_metrics(own_results)
            values_of_sets.append(own_values)
            for key, value in own_values.items():
                values[f'{name}/{key}'] = value
        # Only metrics that every data set has: bins and further protocols may differ.
        shared = set(values_of_sets[0])
        for own_values in values_of_sets[1:]:
            shared &= own_values.keys()
        for key in values_of_sets[0]:
            if key in shared:
                total = math.fsum(own_values[key] for own_values in values_of_sets)
                values[key] = total / len(values_of_sets)
        return values

    def write_protocol(self, path: str | Path) -> None:
        """Write protocol and image counts, one JSON file a data set (``protocol_nyu.json``)."""
        for name, metric in self.metrics.items():
            metric.write_protocol(_path_of_dataset(path, name))

    def write_per_image(self, path: str | Path) -> None:
        """Write every image's metrics, one JSON file a data set (``per_image_nyu.json``)."""
        for name, metric in self.metrics.items():
            metric.write_per_image(_path_of_dataset(path, name))


def _path_of_dataset(path: str | Path, name: str) -> Path:
    path = Path(path)
    return path.with_name(f'{path.stem}_{name}{path.suffix}')
