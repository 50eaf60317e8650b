"""Data loaders of a config: the position of resumable samplers, page-locked memory, and workers."""

import copy
import functools
import multiprocessing.util
from typing import Any

import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

RESUMABLE_SAMPLERS = ('ResumableInfiniteSampler', 'AlternatingSetSampler', 'ShardSampler')


def build_data_loader(dataloader: DataLoader | dict, *args: Any, **kwargs: Any) -> DataLoader:
    """Build a data loader as mmengine does, with the options that this toolbox derives.

    A resumable sampler gets the batch size, workers run one thread each, and where there is a GPU
    batches come in page-locked memory unless the config says otherwise.

    Args:
        dataloader: Options of the data loader, or one that is built, which is returned as it is.
        args: Of mmengine's ``Runner.build_dataloader``.
        kwargs: Likewise.
    """
    if not isinstance(dataloader, dict):
        return Runner.build_dataloader(dataloader, *args, **kwargs)
    options = copy.deepcopy(dataloader)
    sampler = options.get('sampler')
    if isinstance(sampler, dict) and sampler.get('type') in RESUMABLE_SAMPLERS:
        sampler.setdefault('batch_size', options.get('batch_size', 1))
    options.setdefault('pin_memory', torch.cuda.is_available())
    # PyTorch refuses persistent workers where there are none.
    if options.get('num_workers', 0) == 0:
        options['persistent_workers'] = False
    loader = Runner.build_dataloader(options, *args, **kwargs)
    # Around mmengine's function, which seeds the worker.
    from depth.datasets.workers import prepare_runner_worker

    loader.worker_init_fn = functools.partial(prepare_runner_worker, then=loader.worker_init_fn)
    if loader.num_workers > 0:
        # The folder of the sockets through which batches come, removed when this process ends.
        # Loader processes without one make their own, and are terminated before they could remove
        # it.
        multiprocessing.util.get_temp_dir()
    return loader
