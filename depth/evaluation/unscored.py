"""Tests without ground truth."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from depth.registry import METRICS


@METRICS.register_module()
class UnscoredPredictions(BaseMetric):
    """Stand where a metric stands, for lists without ground truth: count the predictions and say that none is scored.

    Args:
        hint: What to do with the predictions.
        prefix: Accepted as every metric does; there are no names to put it in front of.
        collect_device: Where the processes' counts are gathered.
    """

    default_prefix = ''

    def __init__(
        self,
        hint: str = 'tools/test.py --out DIR writes them as 16-bit PNG',
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.hint = hint

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count one batch."""
        self.results.extend(sample.get('img_path', '') for sample in data_samples)

    def compute_metrics(self, results: list[str]) -> dict[str, float]:
        """Say how many predictions there are; return no metrics."""
        MMLogger.get_current_instance().info(
            f'{len(results)} predictions, not scored: this list has no ground truth; {self.hint}'
        )
        return {}
