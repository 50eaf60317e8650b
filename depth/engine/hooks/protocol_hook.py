"""Writer of the evaluation protocol and the per-image values of a test."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from depth.registry import HOOKS


@HOOKS.register_module()
class ProtocolHook(Hook):
    """Write ``protocol.json`` and ``per_image.json`` next to the metrics of a test.

    The first states the definition of the metrics (depth range, crop, alignment), the second holds
    the values of every image, which ``tools/analysis_tools/compare_results.py`` reads. If a test
    has several metrics, those after the first write ``protocol_1.json``, ``per_image_1.json``, ...
    """

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write the files."""
        metrics = [
            metric for metric in runner.test_evaluator.metrics if hasattr(metric, 'write_protocol')
        ]
        for index, metric in enumerate(metrics):
            number = f'_{index}' if index else ''
            metric.write_protocol(Path(runner.log_dir, f'protocol{number}.json'))
            metric.write_per_image(Path(runner.log_dir, f'per_image{number}.json'))
