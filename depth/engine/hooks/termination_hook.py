"""Hook that saves a checkpoint and ends the training on SIGTERM or Ctrl-C."""

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
    """Save a checkpoint after the current iteration on SIGTERM or Ctrl-C, and end the training.

    A validation is ended between two batches and repeated by the resumed run. ``runner.exit_code``
    is then 128 plus the number of the signal (143, 130), unless the training was complete;
    ``--resume auto`` continues it. In a single process a second Ctrl-C ends the run without saving.

    Args:
        check_interval: Iterations between two exchanges of received signals among several
            processes.
    """

    priority = 'LOWEST'

    def __init__(self, check_interval: int = 10) -> None:
        self.check_interval = check_interval
        self.previous: dict[int, object] = {}
        self.runner: Runner | None = None
        self.first_received = 0.0

    def before_train(self, runner: Runner) -> None:
        """Install the signal handlers; Python allows that in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            return
        self.runner = runner
        self.previous = {signum: signal.signal(signum, self._handle_signal) for signum in SIGNALS}

    def stop_listening(self) -> None:
        """Restore the previous signal handlers."""
        for signum, handler in self.previous.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        self.previous = {}
        self.runner = None

    def _handle_signal(self, signum: int, frame: FrameType | None) -> None:
        """Record the first signal; a second Ctrl-C interrupts."""
        now = time.monotonic()
        if not self.runner.stop_signal:
            self.runner.stop_signal = int(signum)
            self.first_received = now
            return
        # torchrun forwards a Ctrl-C that its processes have received already, so a second one only
        # counts in a single process.
        is_single_process = get_dist_info()[1] == 1
        if signum == signal.SIGINT and is_single_process and now > self.first_received + 1:
            raise KeyboardInterrupt

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """End the training if any process has received a signal."""
        if get_dist_info()[1] > 1:
            if not self.every_n_train_iters(runner, self.check_interval):
                return
            runner.stop_signal = agree_on_signal(runner.stop_signal)
        if runner.stop_signal:
            runner.train_loop.stop_training = True

    def after_train(self, runner: Runner) -> None:
        """Save a checkpoint if a signal ended the training, and restore the signal handlers."""
        loop = runner.train_loop
        signum = agree_on_signal(runner.stop_signal)
        if signum and not loop.is_complete:
            for hook in runner.hooks:
                if isinstance(hook, CheckpointHook):
                    hook.save_now(runner)
                    break
            runner.exit_code = 128 + signum
            runner.logger.warning(
                f'{signal.Signals(signum).name}: stopped after iteration {runner.iter}; continue '
                'with --resume auto'
            )
        self.stop_listening()
