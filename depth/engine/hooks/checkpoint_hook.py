"""Checkpoint hook that removes an old checkpoint only after the new one is saved."""

import functools
import logging
import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import Runner

from depth.atomic_write import write_atomically
from depth.engine.console import file_only
from depth.engine.norm_statistics import synchronize_norm_statistics
from depth.registry import HOOKS

from .finite_watch_hook import check_before_saving


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """mmengine's ``CheckpointHook`` that removes old checkpoints after the new one is on the disk.

    Only files that this run wrote into its own work dir are removed, whatever a resumed checkpoint
    says about earlier ones. Before it saves, the hook gathers every process's random state, for an
    exact resume, and averages the running statistics of BatchNorms over the processes.

    Args:
        interval: Iterations between two checkpoints; -1 saves at the end only.
        by_epoch: Count ``interval`` in epochs instead.
        save_begin: First step that may be saved.
        save_last: Also save after the last step.
        max_keep_ckpts: Number of regular checkpoints that are kept; -1 keeps all.
        save_best: Metric whose best checkpoint is kept as well, or a list of metrics.
        rule: ``'less'`` or ``'greater'``: which value of the metric is better; a list has one for
            each metric.
        save_optimizer: Include the optimizer's state, which a resume needs.
        save_param_scheduler: Include the schedulers' state.
        asynchronous: Copy what is saved, and write it in a thread while the training goes on; at
            most one checkpoint is written at a time, and the training waits for it at its end.
        verify: Read each checkpoint again and compare its checksums before it gets its name.
    """

    def __init__(
        self,
        interval: int = -1,
        by_epoch: bool = False,
        save_begin: int = 0,
        save_last: bool = True,
        max_keep_ckpts: int = -1,
        save_best: str | Sequence[str] | None = None,
        rule: str | Sequence[str] | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        asynchronous: bool = False,
        verify: bool = True,
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
        self.asynchronous = asynchronous
        self.verify = verify

    def before_train(self, runner: Runner) -> None:
        """Take over the list of earlier checkpoints of a resumed run."""
        runner.checkpoint_writer.asynchronous = self.asynchronous
        runner.verifies_checkpoints = self.verify
        self._drop_foreign_entries(runner)
        # The parent would remove surplus checkpoints here, before there is a new one.
        max_keep_ckpts = self.max_keep_ckpts
        self.max_keep_ckpts = -1
        # It warns of a class of its own that it still uses.
        with file_only(runner.logger, logging.ERROR):
            super().before_train(runner)
        self.max_keep_ckpts = max_keep_ckpts
        self.keep_ckpt_ids = deque(runner.message_hub.get_info('keep_ckpt_ids', []))

    def _drop_foreign_entries(self, runner: Runner) -> None:
        """Remove message hub entries that name files which this run did not write.

        The entries come from a checkpoint, which may have been written in another folder.
        """
        info, run = runner.message_hub.runtime_info, runner.training_run
        own: dict[str, object] = {}
        own_steps = set()
        steps = info.get('keep_ckpt_ids')
        for step in steps if isinstance(steps, list) else []:
            if isinstance(step, int) and run.owns(self.filename_tmpl.format(step)):
                own_steps.add(step)
        # The first of the list is removed first: the oldest, whatever the order that was read.
        own['keep_ckpt_ids'] = sorted(own_steps)
        for key, value in info.items():
            if not key.startswith('best_ckpt'):
                continue
            name, score = Path(str(value)).name, key.replace('best_ckpt', 'best_score', 1)
            # The score of a best checkpoint in another folder is dropped with it; the next
            # validation gives this folder a best checkpoint of its own.
            if (run.owns(name) or name in run.adopted) and _is_score(info.get(score)):
                own[key] = str(Path(runner.work_dir, name))
                own[score] = info[score]
        # Saving is collective: processes with different best scores would wait for each other.
        shared = [own]
        broadcast_object_list(shared)
        for key in [key for key in info if key.startswith(('best_ckpt', 'best_score'))]:
            del info[key]
        info.update(shared[0])

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Finish a checkpoint that has been written meanwhile, and save one at the interval."""
        runner.checkpoint_writer.collect()
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def save_now(self, runner: Runner) -> None:
        """Save a checkpoint of the last finished iteration, if there is none yet."""
        step = runner.iter
        if step > 0 and runner.message_hub.get_info('last_saved_iter', -1) != step:
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        check_before_saving(runner)
        runner.collect_random_states()
        synchronize_norm_statistics(runner)
        if step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
        outdated_steps = []
        while 0 < self.max_keep_ckpts < len(self.keep_ckpt_ids):
            outdated_steps.append(self.keep_ckpt_ids.popleft())
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
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
            names = [self.filename_tmpl.format(outdated) for outdated in outdated_steps]
            replace = functools.partial(_replace, runner, self.last_ckpt, names)
            runner.checkpoint_writer.then(replace)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the best checkpoint, then remove the previous one."""
        if not self.save_best:
            return
        # The parent removes the previous file before it saves, so the path is hidden from it.
        before = self._best_paths()
        self._set_best_paths(dict.fromkeys(before))
        super()._save_best_checkpoint(runner, metrics)
        after = self._best_paths()
        self._set_best_paths({key: after[key] or before[key] for key in before})
        for key, old in before.items():
            if old and after[key] and old not in after.values() and is_main_process():
                remove = functools.partial(runner.training_run.remove, Path(old).name)
                runner.checkpoint_writer.then(remove)

    def _best_paths(self) -> dict[str, str | None]:
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best_paths(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict.update(paths)


def _replace(runner: Runner, newest: str, outdated: list[str]) -> None:
    """Name the newest checkpoint of a work dir, and remove those that it replaces."""
    write_atomically(Path(runner.work_dir, 'last_checkpoint'), newest)
    for name in outdated:
        runner.training_run.remove(name)


def _is_score(value: object) -> bool:
    """Return whether a later score can be compared with a value: no score is better than NaN."""
    return isinstance(value, int | float) and math.isfinite(value)
