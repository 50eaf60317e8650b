"""The protocol beside the numbers."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from depth.registry import HOOKS


@HOOKS.register_module()
class ProtocolHook(Hook):
    """After a test write ``protocol.json`` beside the metrics: under which definition they were obtained."""

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write the file."""
        for metric in runner.test_evaluator.metrics:
            if hasattr(metric, 'write_protocol'):
                metric.write_protocol(Path(runner.log_dir, 'protocol.json'))
