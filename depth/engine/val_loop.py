"""Validation loop that a signal ends between two batches."""

from collections.abc import Iterator

import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from mmengine.runner import TestLoop as MMEngineTestLoop
from mmengine.runner import ValLoop as MMEngineValLoop
from torch.utils.data import DataLoader, Dataset

from depth.registry import LOOPS

from .distributed import unwrap_model
from .sharding import gathered


class ValidationStopped(Exception):
    """Raised in all processes when a signal to any of them has ended a validation."""


@LOOPS.register_module()
class ValLoop(MMEngineValLoop):
    """mmengine's validation loop, which ends between two batches after a signal.

    Arguments as in mmengine.
    """

    def run(self) -> dict:
        """Validate.

        Raises:
            ValidationStopped: If a signal ended it; the model is restored before.
        """
        dataloader = self.dataloader
        self.dataloader = _UntilStopped(dataloader, self.runner)
        try:
            return super().run()
        except ValidationStopped:
            for metric in self.evaluator.metrics:
                metric.results.clear()
            for hook in self.runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(self.runner)  # swaps the averaged weights out again
            raise
        finally:
            self.dataloader = dataloader


class _UntilStopped:
    """Data loader that ends when this process receives a signal.

    After the last batch the processes exchange their signals, and all raise if there was one.
    """

    def __init__(self, dataloader: DataLoader, runner: Runner) -> None:
        self.dataloader = dataloader
        self.runner = runner

    @property
    def dataset(self) -> Dataset:
        return self.dataloader.dataset

    def __len__(self) -> int:
        return len(self.dataloader)

    def __iter__(self) -> Iterator:
        with gathered(unwrap_model(self.runner)):
            for batch in self.dataloader:
                if self.runner.stop_signal:
                    break
                yield batch
        # The processes have different numbers of batches, so they cannot exchange signals in each
        # batch. Here each of them passes exactly once.
        self.runner.stop_signal = agree_on_signal(self.runner.stop_signal)
        if self.runner.stop_signal:
            raise ValidationStopped


@LOOPS.register_module()
class TestLoop(MMEngineTestLoop):
    """mmengine's test loop, which gathers sharded parameters once.

    Arguments as in mmengine.
    """

    def run(self) -> dict:
        """Test."""
        with gathered(unwrap_model(self.runner)):
            return super().run()


def agree_on_signal(signum: int) -> int:
    """Return the largest signal number that any process has received, 0 for none.

    A collective operation: all processes have to call it.
    """
    if get_dist_info()[1] == 1:
        return signum
    device = 'cuda' if torch.distributed.get_backend() == 'nccl' else 'cpu'
    received = torch.tensor([signum], device=device)
    all_reduce(received, op='max')
    return int(received.item())
