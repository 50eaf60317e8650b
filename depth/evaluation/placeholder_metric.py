"""Placeholder metric for test sets without ground truth."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from depth.registry import METRICS


@METRICS.register_module()
class UnscoredPredictions(BaseMetric):
    """Placeholder metric for test sets without ground truth, which counts the predictions.

    Args:
        hint: Advice on using the predictions, logged with their number.
        prefix: Accepted because every metric has it; there are no metrics to name.
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
        # mmengine warns of a metric without results, so each prediction leaves its name.
        for sample in data_samples:
            self.results.append(sample.get('img_path', ''))

    def compute_metrics(self, results: list[str]) -> dict[str, float]:
        """Log the number of predictions and return no metrics."""
        MMLogger.get_current_instance().info(
            f'{len(results)} predictions, not scored: this list has no ground truth; {self.hint}'
        )
        return {}
