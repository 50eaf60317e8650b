"""Saving checkpoints so that there is always a good one."""

from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import Runner

from depth.registry import HOOKS

from .finite_watch_hook import check_before_saving


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's hook, but old checkpoints are removed only after the new one is on the disk.

    It also gathers every process's random state, which an exact resume needs. Names of options as in mmengine.

    Args:
        interval: Save every so many iterations; -1 only at the end.
        by_epoch: Count epochs instead.
        save_begin: First step that may be saved.
        save_last: Save after the last step too.
        max_keep_ckpts: How many regular checkpoints are kept; -1 keeps all.
        save_best: Metric whose best checkpoint is kept as well.
        rule: ``'less'`` or ``'greater'``: which value of the metric is better.
        save_optimizer: Include what a resume needs of the optimizer.
        save_param_scheduler: Include the schedulers.
    """

    def __init__(
        self,
        interval: int = -1,
        by_epoch: bool = False,
        save_begin: int = 0,
        save_last: bool = True,
        max_keep_ckpts: int = -1,
        save_best: str | None = None,
        rule: str | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
    ) -> None:
        super().__init__(
            interval=interval,
            by_epoch=by_epoch,
            save_begin=save_begin,
            save_last=save_last,
            max_keep_ckpts=max_keep_ckpts,
            save_best=save_best,
            rule=rule,
            save_optimizer=save_optimizer,
            save_param_scheduler=save_param_scheduler,
        )
        self.keep_ckpt_ids: deque[int] = deque()  # the parent makes it only where old checkpoints are removed

    def save_now(self, runner: Runner) -> None:
        """Save a checkpoint after the current training iteration, in between the regular ones."""
        if runner.message_hub.get_info('last_saved_iter', -1) != runner.iter + 1:
            self._save_checkpoint(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        check_before_saving(runner)
        runner.collect_random_states()
        keep, self.max_keep_ckpts = self.max_keep_ckpts, -1  # the parent would remove before it saves
        kept = deque(self.keep_ckpt_ids)
        if step not in kept:
            kept.append(step)
        outdated = [kept.popleft() for _ in range(max(len(kept) - keep, 0))] if keep > 0 else []
        self.keep_ckpt_ids = kept
        runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        runner.message_hub.update_info('last_saved_iter', step)
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.max_keep_ckpts = keep
        if is_main_process():
            for old in outdated:
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        previous, self.best_ckpt_path = (
            getattr(self, 'best_ckpt_path', None),
            None,
        )  # removed below, once there is a new
        super()._save_best_checkpoint(runner, metrics)
        if self.best_ckpt_path is None:
            self.best_ckpt_path = previous
        elif previous and previous != self.best_ckpt_path and is_main_process():
            Path(previous).unlink(missing_ok=True)
