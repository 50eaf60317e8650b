"""Logger hook: a summary at the start, progress at least every ten seconds, each metric once."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mmengine.fileio import dump
from mmengine.hooks import LoggerHook as MMEngineLoggerHook
from mmengine.runner import Runner

from depth.atomic_write import write_atomically
from depth.engine.console import PROGRESS_SECONDS, file_only, seconds_of_silence
from depth.engine.run_summary import describe_training
from depth.evaluation import DepthMetric, MixedDepthMetric
from depth.registry import HOOKS
from depth.visualization.visualizer import Visualizer


@HOOKS.register_module()
class LoggerHook(MMEngineLoggerHook):
    """mmengine's ``LoggerHook`` with a shorter console; files and TensorBoard get the same values.

    It prints what is trained before the first iteration, and a line of progress when the console
    has been silent for ten seconds, whatever ``interval`` is. The metrics of a test are written to
    ``<timestamp>/<timestamp>.json`` atomically. Backends such as TensorBoard get ``train/loss`` and
    ``val/abs_rel``, and the curves of a resumed training continue. Arguments as in mmengine.
    """

    def before_train(self, runner: Runner) -> None:
        """Print the summary of the training, and continue its curves where it starts from."""
        if isinstance(runner.visualizer, Visualizer):
            run = runner.training_run
            run_id = None if run is None else run.id
            runner.visualizer.start_training(runner.work_dir, runner.iter, run_id)
        for line in describe_training(runner):
            runner.logger.info(line)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | Sequence | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Log the iteration every ``interval`` iterations, and after ten seconds of silence."""
        # As mmengine: a short loader's last iteration is logged too.
        loader = runner.train_dataloader
        is_last = self.end_of_epoch(loader, batch_idx) and (
            not self.ignore_last or len(loader) <= self.interval
        )
        if self.every_n_inner_iters(batch_idx, self.interval) or is_last:
            tag, text = runner.log_processor.get_log_after_iter(runner, batch_idx, 'train')
            runner.logger.info(text)
            with in_group(runner, 'train'):
                runner.visualizer.add_scalars(
                    tag, step=runner.iter + 1, file_path=self.json_log_path
                )
        # A little earlier than the heartbeat, whose line says less.
        elif seconds_of_silence(runner.logger) >= 0.8 * PROGRESS_SECONDS:
            _, text = runner.log_processor.get_log_after_iter(runner, batch_idx, 'train')
            runner.logger.info(text)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the metrics; on the console only if no table shows them."""
        has_table = has_tables(runner.val_evaluator.metrics)
        with in_group(runner, 'val'), file_only(runner.logger) if has_table else nullcontext():
            super().after_val_epoch(runner, metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the metrics and write them as JSON."""
        tag, text = runner.log_processor.get_log_after_epoch(
            runner, len(runner.test_dataloader), 'test', with_non_scalar=True
        )
        if has_tables(runner.test_evaluator.metrics):
            with file_only(runner.logger):
                runner.logger.info(text)
        else:
            runner.logger.info(text, extra=dict(is_result=True))
        content = dump(self._process_tags(tag), file_format='json')
        path = Path(runner.log_dir, self.json_log_path)
        write_atomically(path, content)


def has_tables(metrics: Sequence) -> bool:
    """Return whether every metric prints a table of its own."""
    return all(isinstance(metric, DepthMetric | MixedDepthMetric) for metric in metrics)


def in_group(runner: Runner, name: str) -> AbstractContextManager:
    """Return a context in which scalars are grouped; those of a foreign visualizer are not."""
    if isinstance(runner.visualizer, Visualizer):
        return runner.visualizer.in_group(name)
    return nullcontext()
