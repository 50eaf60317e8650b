"""Report of the shards that a training has given up."""

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from depth.registry import HOOKS


@HOOKS.register_module()
class ShardReportHook(Hook):
    """Log how many shards were given up and how many samples were replaced, of all processes.

    The log names each shard when it happens; this is the count, during the training and at its end.
    It needs data sets with ``max_bad_shards``.

    Args:
        interval: Iterations between two reports, which come if the count of this process has grown.
    """

    def __init__(self, interval: int = 1000) -> None:
        self.interval = interval
        self._reported = 0

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Log the count of this process."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        datasets = _shard_datasets(runner)
        replaced = sum(dataset.replaced_samples for dataset in datasets)
        if replaced > self._reported:
            shards = sum(len(dataset.bad_shards) for dataset in datasets)
            runner.logger.warning(f'bad shards: {shards}, samples replaced so far: {replaced}')
            self._reported = replaced

    def after_train(self, runner: Runner) -> None:
        """Log the counts of all processes."""
        for dataset in _shard_datasets(runner):
            counts = torch.tensor([len(dataset.bad_shards), dataset.replaced_samples])
            if get_world_size() > 1:
                all_reduce(counts)
            shards, samples = counts.tolist()
            name = dataset.metainfo['dataset_name']
            if shards:
                runner.logger.warning(
                    f'{name}: shards given up: {shards} (one counts for each process that met it), '
                    f'samples replaced: {samples}; in this process: '
                    f'{", ".join(dataset.bad_shards) or "none"}'
                )
            else:
                runner.logger.info(f'{name}: every shard that was needed was read')


def _shard_datasets(runner: Runner) -> list:
    """Return the data sets of shards that a training reads."""
    from depth.datasets import ShardDataset

    dataset = runner.train_dataloader.dataset
    members = getattr(dataset, 'datasets', [dataset])
    return [member for member in members if isinstance(member, ShardDataset)]
