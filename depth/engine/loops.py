"""Iteration-based training loop with exact resume, and the random states that it restores."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from depth.registry import LOOPS

from .norm_statistics import synchronize_norm_statistics
from .val_loop import ValidationStopped


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """Iteration-based training loop whose data can start at any position.

    With a :class:`~depth.datasets.ResumableInfiniteSampler` a resumed run reads no sample twice.
    Validation and the start of loader workers restore the random state, so they do not change the
    training.

    Args:
        runner: The runner.
        dataloader: Training data loader or its config.
        max_iters: Number of iterations.
        val_begin: First iteration after which validation may run.
        val_interval: Iterations between two validations; there is also one after the last
            iteration.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
    ) -> None:
        super().__init__(
            runner, dataloader, max_iters, val_begin=val_begin, val_interval=val_interval
        )
        self.dataloader_iterator: Iterator | None = (
            None  # built in run(), when the position is known
        )
        self.random_state: dict | None = None
        self._resumed_at = (0, 0)  # iteration, and position in the training sequence
        self.is_complete = False

    def resume_at(self, position: int | None) -> None:
        """Start the data at a position of the training sequence.

        Args:
            position: Number of samples that all processes together have passed; None if the
                checkpoint does not store it, then it follows from the present batch size.
        """
        step = self._total_batch()
        if position is None:
            position = self._iter * step
        # Batches of most samplers start at multiples of their size, so the position is rounded up
        # to one: after a change of the batch size a few samples of the sequence are skipped.
        if not getattr(self.dataloader.sampler, 'starts_anywhere', False):
            position = math.ceil(position / step) * step
        self._resumed_at = (self._iter, position)

    def position(self, iteration: int) -> int:
        """Return how many samples of the training sequence have passed after an iteration."""
        start_iteration, start_position = self._resumed_at
        return start_position + (iteration - start_iteration) * self._total_batch()

    def _total_batch(self) -> int:
        return (self.dataloader.batch_size or 1) * get_dist_info()[1]

    def run(self) -> torch.nn.Module:
        """Train to the end, or until a hook asks to stop."""
        runner = self.runner
        runner.call_hook('before_train')
        runner.call_hook('before_train_epoch')
        with preserved_random_state():
            self._start_data()
        if self.random_state is not None:
            set_random_state(self.random_state)
        if self._iter >= self._max_iters:
            runner.logger.info(f'all {self._max_iters} iterations of train_cfg.max_iters are done')
        if (
            self._iter > 0
            and self._is_val_due()
            and runner.message_hub.get_info('last_val_iter', -1) != self._iter
        ):
            self._validate()
        while self._iter < self._max_iters and not self.stop_training:
            runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            if self._is_val_due() and not self.stop_training:
                self._validate()
        validated = self.runner.message_hub.get_info('last_val_iter', -1) == self._iter
        self.is_complete = self._iter >= self._max_iters and (validated or not self._is_val_due())
        runner.call_hook('after_train_epoch')
        runner.call_hook('after_train')
        return runner.model

    def _is_val_due(self) -> bool:
        if self.runner.val_loop is None or self._iter < self.val_begin:
            return False
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters

    def _validate(self) -> None:
        hub = self.runner.message_hub
        last_val_iter = hub.get_info('last_val_iter', -1)
        hub.update_info('last_val_iter', self._iter)
        synchronize_norm_statistics(self.runner)
        with preserved_random_state() as state:
            # A best checkpoint may be saved during the validation; it stores the training's random
            # state, not that of the validation.
            self.runner.training_random_state = state
            try:
                self.runner.val_loop.run()
            except ValidationStopped:
                hub.update_info('last_val_iter', last_val_iter)  # the resumed run repeats it
                self.stop_training = True
            finally:
                self.runner.training_random_state = None

    def _start_data(self) -> None:
        sampler = self.dataloader.sampler
        if hasattr(sampler, 'set_start'):
            sampler.set_start(self.position(self._iter))
        elif self._iter > 0:
            self.runner.logger.warning(
                f'{type(sampler).__name__} cannot start at iteration {self._iter}, so the data '
                'order after this resume differs from the uninterrupted run; use '
                'ResumableInfiniteSampler'
            )
        # Made here, because it draws a seed for its workers: after the random state is restored, a
        # resumed run would be one draw ahead.
        self.dataloader_iterator = _cycle(self.dataloader, iter(self.dataloader))


def _cycle(dataloader: DataLoader, first_pass: Iterator) -> Iterator:
    """Yield the batches of a pass through a data loader, then those of further passes."""
    yield from first_pass
    while True:
        yield from dataloader


@contextmanager
def preserved_random_state() -> Iterator[dict]:
    """Restore the random states of torch, NumPy and Python after the block; yields those states."""
    state = get_random_state()
    try:
        yield state
    finally:
        set_random_state(state)


def get_random_state() -> dict:
    """Return the random states of this process as tensors and plain values."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    state = dict(
        torch=torch.get_rng_state(),
        numpy=[
            name,
            torch.from_numpy(keys.astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        python=[version, list(internal), gauss_next],
    )
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict) -> None:
    """Restore what :func:`get_random_state` returned."""
    torch.set_rng_state(state['torch'].cpu())
    name, keys, position, has_gauss, gauss = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state['python']
    random.setstate((version, tuple(internal), gauss_next))
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
