"""Validation that a signal ends at once."""

from collections.abc import Iterator

import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from mmengine.runner import ValLoop as MMEngineValLoop
from torch.utils.data import DataLoader, Dataset

from depth.registry import LOOPS


class ValidationStopped(Exception):
    """Raised in all processes when a validation was cut by a signal to any of them."""


@LOOPS.register_module()
class ValLoop(MMEngineValLoop):
    """mmengine's validation loop, cut between two batches when the runner has received a signal.

    Arguments as in mmengine.
    """

    def run(self) -> dict:
        """Validate.

        Raises:
            ValidationStopped: If a signal ended it; the model is then as before the validation.
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
                    hook.after_val_epoch(self.runner)  # averaged weights stood in the model's place
            raise
        finally:
            self.dataloader = dataloader


class _UntilStopped:
    """Batches of a data loader up to a signal, upon which all processes agree at the end."""

    def __init__(self, dataloader: DataLoader, runner: Runner) -> None:
        self.dataloader, self.runner = dataloader, runner

    @property
    def dataset(self) -> Dataset:
        return self.dataloader.dataset

    def __len__(self) -> int:
        return len(self.dataloader)

    def __iter__(self) -> Iterator:
        for batch in self.dataloader:
            if self.runner.stop_signal:
                break
            yield batch
        # Processes have shares of different length, so they cannot agree batch by batch; all of them come by here.
        self.runner.stop_signal = agree_on_signal(self.runner.stop_signal)
        if self.runner.stop_signal:
            raise ValidationStopped


def agree_on_signal(signum: int) -> int:
    """Return the largest number of a signal that any process has received, 0 for none; a collective operation."""
    if get_dist_info()[1] == 1:
        return signum
    device = 'cuda' if torch.distributed.get_backend() == 'nccl' else 'cpu'
    received = torch.tensor([signum], device=device)
    all_reduce(received, op='max')
    return int(received.item())
