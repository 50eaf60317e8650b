"""Logger hook that writes the metrics of a test atomically."""

from pathlib import Path

from mmengine.fileio import dump
from mmengine.hooks import LoggerHook as MMEngineLoggerHook
from mmengine.runner import Runner

from depth.atomic_write import write_atomically
from depth.registry import HOOKS


@HOOKS.register_module()
class LoggerHook(MMEngineLoggerHook):
    """mmengine's ``LoggerHook`` that writes ``<timestamp>/<timestamp>.json`` of a test atomically.

    Arguments as in mmengine.
    """

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the metrics and write them as JSON."""
        tag, text = runner.log_processor.get_log_after_epoch(
            runner, len(runner.test_dataloader), 'test', with_non_scalar=True
        )
        runner.logger.info(text)
        content = dump(self._process_tags(tag), file_format='json')
        write_atomically(Path(runner.log_dir, self.json_log_path), content)
