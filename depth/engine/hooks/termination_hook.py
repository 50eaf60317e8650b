"""Saving a checkpoint and leaving when a signal asks the training to end."""

import signal
import threading
import time
from types import FrameType

from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from depth.engine.val_loop import agree_on_signal
from depth.registry import HOOKS

from .checkpoint_hook import CheckpointHook

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@HOOKS.register_module()
class TerminationHook(Hook):
    """On SIGTERM or Ctrl-C save a checkpoint after the current iteration and end the training.

    A validation is cut at once and done again by the resumed run. ``runner.exit_code`` is then 128 plus the number of
    the signal (143, 130), unless the training was complete; ``--resume auto`` continues it. In a single process a
    second Ctrl-C ends the run without saving.

    Args:
        check_interval: Several processes agree on stopping every so many iterations.
    """

    priority = 'LOWEST'

    def __init__(self, check_interval: int = 10) -> None:
        self.check_interval = check_interval
        self.previous: dict[int, object] = {}
        self.runner: Runner | None = None
        self.first_received = 0.0

    def before_train(self, runner: Runner) -> None:
        """Start listening; only the main thread of a process can."""
        if threading.current_thread() is not threading.main_thread():
            return
        self.runner = runner
        self.previous = {signum: signal.signal(signum, self._remember) for signum in SIGNALS}

    def stop_listening(self) -> None:
        """Put the handlers of before back."""
        for signum, handler in self.previous.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        self.previous, self.runner = {}, None

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        # torchrun passes Ctrl-C on to processes that had it already, so only a lone process counts them.
        alone = get_dist_info()[1] == 1
        if self.runner.stop_signal and signum == signal.SIGINT and alone and time.monotonic() > self.first_received + 1:
            raise KeyboardInterrupt
        if not self.runner.stop_signal:
            self.runner.stop_signal, self.first_received = int(signum), time.monotonic()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs=None) -> None:
        """Stop if a signal came to any process."""
        if get_dist_info()[1] > 1:
            if not self.every_n_train_iters(runner, self.check_interval):
                return
            runner.stop_signal = agree_on_signal(runner.stop_signal)
        if runner.stop_signal:
            runner.train_loop.stop_training = True

    def after_train(self, runner: Runner) -> None:
        """Save if a signal ended the training, and stop listening."""
        loop = runner.train_loop
        signum = agree_on_signal(runner.stop_signal)
        if signum and not loop.is_complete:
            hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
            if hook is not None:
                hook.save_now(runner)
            runner.exit_code = 128 + signum
            runner.logger.warning(
                f'{signal.Signals(signum).name}: stopped after iteration {runner.iter}; continue with --resume auto'
            )
        self.stop_listening()
