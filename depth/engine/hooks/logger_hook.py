"""Logger hook that groups curves by phase and writes the metrics of a test atomically."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mmengine.fileio import dump
from mmengine.hooks import LoggerHook as MMEngineLoggerHook
from mmengine.runner import Runner

from depth.atomic_write import write_atomically
from depth.registry import HOOKS
from depth.visualization.visualizer import Visualizer


@HOOKS.register_module()
class LoggerHook(MMEngineLoggerHook):
    """mmengine's ``LoggerHook`` that writes ``<timestamp>/<timestamp>.json`` of a test atomically.

    Backends such as TensorBoard get ``train/loss`` and ``val/abs_rel``, and the curves of a resumed
    training continue.

    Arguments as in mmengine.
    """

    def before_train(self, runner: Runner) -> None:
        """Continue the curves at the iteration that the training starts from."""
        if isinstance(runner.visualizer, Visualizer):
            runner.visualizer.start_training(runner.work_dir, runner.iter)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Log the losses as mmengine does, in the group ``train``."""
        with _in_group(runner, 'train'):
            super().after_train_iter(runner, *args, **kwargs)

    def after_val_epoch(self, runner: Runner, *args, **kwargs) -> None:
        """Log the metrics as mmengine does, in the group ``val``."""
        with _in_group(runner, 'val'):
            super().after_val_epoch(runner, *args, **kwargs)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the metrics and write them as JSON."""
        tag, text = runner.log_processor.get_log_after_epoch(
            runner, len(runner.test_dataloader), 'test', with_non_scalar=True
        )
        runner.logger.info(text)
        content = dump(self._process_tags(tag), file_format='json')
        write_atomically(Path(runner.log_dir, self.json_log_path), content)


def _in_group(runner: Runner, name: str) -> AbstractContextManager:
    """Return a context in which scalars are grouped; of a foreign visualizer they are not."""
    if isinstance(runner.visualizer, Visualizer):
        return runner.visualizer.in_group(name)
    return nullcontext()
