"""Saving checkpoints so that there is always a good one."""

from collections import deque
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import Runner

from depth.atomic_write import write_atomically
from depth.engine.norm_statistics import synchronize_norm_statistics
from depth.registry import HOOKS

from .finite_watch_hook import check_before_saving


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's hook, but old checkpoints are removed only after the new one is on the disk.

    Only files that this run wrote into its own work dir are removed, whatever a resumed checkpoint says about earlier
    ones. The hook also gathers every process's random state, which an exact resume needs, and averages the running
    statistics of BatchNorms over the processes. Names of options as in mmengine.

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
        self.keep_ckpt_ids: deque = deque()

    def before_train(self, runner: Runner) -> None:
        """Take over what a resumed checkpoint knows of earlier ones, as far as it is true of this work dir."""
        self._drop_foreign_entries(runner)
        # The parent would remove surplus checkpoints here, before there is a new one.
        keep, self.max_keep_ckpts = self.max_keep_ckpts, -1
        super().before_train(runner)
        self.max_keep_ckpts = keep
        self.keep_ckpt_ids = deque(runner.message_hub.get_info('keep_ckpt_ids', []))

    def _drop_foreign_entries(self, runner: Runner) -> None:
        """Correct the entries of the message hub that name files: they come from a checkpoint, so from anywhere."""
        info, run = runner.message_hub.runtime_info, runner.training_run
        own: dict[str, object] = {}
        kept = info.get('keep_ckpt_ids')
        steps = [step for step in kept if isinstance(step, int)] if isinstance(kept, list) else []
        own['keep_ckpt_ids'] = [step for step in steps if run.owns(self.filename_tmpl.format(step))]
        for key, value in info.items():
            if not key.startswith('best_ckpt'):
                continue
            name, score = Path(str(value)).name, key.replace('best_ckpt', 'best_score', 1)
            # Without the best of another folder its score goes too: this one gets its own with the next validation.
            if (run.owns(name) or name in run.adopted) and score in info:
                own[key], own[score] = str(Path(runner.work_dir, name)), info[score]
        shared = [own]  # processes that disagreed on what is best would wait for each other forever
        broadcast_object_list(shared)
        for key in [key for key in info if key.startswith(('best_ckpt', 'best_score'))]:
            del info[key]
        info.update(shared[0])

    def save_now(self, runner: Runner) -> None:
        """Save a checkpoint after the last finished iteration, in between the regular ones."""
        step = runner.iter
        if step > 0 and runner.message_hub.get_info('last_saved_iter', -1) != step:
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        check_before_saving(runner)
        runner.collect_random_states()
        synchronize_norm_statistics(runner)
        kept = self.keep_ckpt_ids
        if step not in kept:
            kept.append(step)
        outdated = []
        while 0 < self.max_keep_ckpts < len(kept):
            outdated.append(kept.popleft())
        runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        runner.message_hub.update_info('last_saved_iter', step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir, name))
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
        )
        if is_main_process():
            write_atomically(Path(runner.work_dir, 'last_checkpoint'), self.last_ckpt)
            for old in outdated:
                runner.training_run.remove(self.filename_tmpl.format(old))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the best checkpoint and remove the one before, in this order."""
        if not self.save_best:
            return
        # The parent removes the file that it finds here before it saves; so it finds none.
        before = self._best_paths()
        self._set_best_paths(dict.fromkeys(before))
        super()._save_best_checkpoint(runner, metrics)
        after = self._best_paths()
        self._set_best_paths({key: after[key] or before[key] for key in before})
        for key, old in before.items():
            if old and after[key] and old not in after.values() and is_main_process():
                runner.training_run.remove(Path(old).name)

    def _best_paths(self) -> dict[str, str | None]:
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best_paths(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict.update(paths)
