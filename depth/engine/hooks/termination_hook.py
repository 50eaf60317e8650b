"""Leaving in good order when slurm takes the machine away."""

import signal
from types import FrameType

import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from depth.registry import HOOKS

from .checkpoint_hook import CheckpointHook


@HOOKS.register_module()
class TerminationHook(Hook):
    """On SIGTERM save a checkpoint after the current iteration and end the training; ``--resume auto`` continues it.

    Args:
        check_interval: Several processes agree on stopping every so many iterations.
    """

    priority = 'LOWEST'

    def __init__(self, check_interval: int = 10) -> None:
        self.check_interval = check_interval
        self.received = False
        self.previous = None

    def before_train(self, runner: Runner) -> None:
        """Start listening."""
        self.previous = signal.signal(signal.SIGTERM, self._remember)

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        signal.signal(signal.SIGTERM, self.previous or signal.SIG_DFL)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self.received = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs=None) -> None:
        """Save and stop if the signal came."""
        if not self._agreed(runner):
            return
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if hook is not None:
            hook.save_now(runner)
        runner.logger.warning(f'SIGTERM: stopped after iteration {runner.iter + 1}; continue with --resume auto')
        runner.train_loop.stop_training = True

    def _agreed(self, runner: Runner) -> bool:
        if get_dist_info()[1] == 1:
            return self.received
        if not self.every_n_train_iters(runner, self.check_interval):
            return False
        device = 'cuda' if torch.distributed.get_backend() == 'nccl' else 'cpu'
        flag = torch.tensor([int(self.received)], device=device)
        all_reduce(flag, op='max')
        return bool(flag.item())
