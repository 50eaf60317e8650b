"""Content of a checkpoint of a training, and restoration of what is neither weights nor optimizer.

That is the position in the training data, the random states and the gradients of an unfinished
accumulation window.
"""

import time
from collections.abc import Mapping, Sequence

import mmcv
import mmengine
import timm
import torch
from mmengine.dist import get_dist_info, get_rank
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor

import depth
from depth.sharded_tensors import shard_like

from .distributed import unwrap_model
from .loops import ResumableIterLoop, get_random_state
from .resume import optimization_kinds
from .stored_config import config_to_data


def collect_checkpoint(
    runner: Runner, meta: dict, by_epoch: bool, save_optimizer: bool, save_param_scheduler: bool
) -> dict:
    """Return the content of a checkpoint; tensors are those of the training, not copies.

    Args:
        runner: The runner.
        meta: See :func:`checkpoint_meta`.
        by_epoch: Likewise.
        save_optimizer: Add what a resume needs beside the schedules.
        save_param_scheduler: Add the state of the schedules.
    """
    checkpoint = dict(
        meta=checkpoint_meta(runner, meta, by_epoch),
        state_dict=unwrap_model(runner).state_dict(),
        message_hub=runner.message_hub.state_dict(),
    )
    if save_optimizer:
        checkpoint['optimizer'] = runner.optim_wrapper.state_dict()
        iteration = checkpoint['meta']['iter']
        checkpoint['accumulated_grads'] = accumulated_grads(runner, iteration)
        checkpoint['random_states'] = runner.random_states or [get_random_state()]
    if save_param_scheduler and runner.param_schedulers is not None:
        checkpoint['param_schedulers'] = _scheduler_states(runner.param_schedulers)
    return checkpoint


def _scheduler_states(schedulers: Sequence | Mapping[str, Sequence]) -> list | dict[str, list]:
    """Return the states of schedules, by the name of the optimizer where there are several."""
    if isinstance(schedulers, Mapping):
        return {name: _scheduler_states(own) for name, own in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]


def checkpoint_meta(runner: Runner, meta: dict, by_epoch: bool) -> dict:
    """Return the ``meta`` entry of a checkpoint: config, progress, data set, versions and run.

    Args:
        runner: The runner.
        meta: Entries that replace those derived here, such as ``epoch`` and ``iter``.
        by_epoch: Whether the step that is being finished is an epoch; otherwise it is an iteration.
    """
    dataloader = runner.train_dataloader
    run = runner.training_run
    content = dict(
        epoch=runner.epoch + int(by_epoch),
        iter=runner.iter + int(not by_epoch),
        cfg=config_to_data(runner.cfg),
        seed=runner.seed,
        sampler_seed=getattr(dataloader.sampler, 'seed', None),
        experiment_name=runner.experiment_name,
        time=time.strftime('%Y%m%d_%H%M%S', time.localtime()),
        dataset_meta=getattr(dataloader.dataset, 'metainfo', None),
        depth_range=list(getattr(unwrap_model(runner), 'depth_range', (None, None))),
        versions=dict(
            depth=depth.__version__,
            torch=torch.__version__,
            timm=timm.__version__,
            mmengine=mmengine.__version__,
            mmcv=mmcv.__version__,
        ),
        run_id=None if run is None else run.id,
    )
    iteration = meta.get('iter', content['iter'])
    content['training'] = _resume_conditions(runner, iteration)
    return content | meta


def _resume_conditions(runner: Runner, iteration: int) -> dict:
    """Return batch size, processes, samples passed and optimizer kinds, which a resume compares."""
    conditions = dict(batch_size=runner.train_dataloader.batch_size, processes=get_dist_info()[1])
    if isinstance(runner.train_loop, ResumableIterLoop):
        conditions['samples'] = runner.train_loop.position(iteration)
    if isinstance(runner.optim_wrapper, OptimWrapper):
        schedulers = runner.param_schedulers or []
        conditions['kinds'] = optimization_kinds(runner.optim_wrapper, schedulers)
    return conditions


def accumulated_grads(runner: Runner, iteration: int) -> dict[str, Tensor]:
    """Return the gradients of an accumulation window that ``iteration`` does not complete."""
    counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    grads = {}
    if iteration % counts != 0:
        for name, parameter in unwrap_model(runner).named_parameters():
            if parameter.grad is not None:
                grads[name] = parameter.grad
    return grads


def restore_training_state(runner: Runner, checkpoint: dict) -> None:
    """Restore the position in the data, random states and gradients from a checkpoint.

    Changes of batch size or number of processes are logged as warnings.
    """
    _restore_data_position(runner, checkpoint['meta'].get('training') or {})
    _restore_random_state(runner, checkpoint.get('random_states') or [])
    sampler = runner.train_dataloader.sampler
    if hasattr(sampler, 'seed') and 'sampler_seed' in checkpoint['meta']:
        sampler.seed = checkpoint['meta']['sampler_seed']
    grads = checkpoint.get('accumulated_grads') or {}
    for name, parameter in unwrap_model(runner).named_parameters():
        if name in grads:
            parameter.grad = shard_like(grads[name].to(parameter.device), parameter)


def _restore_data_position(runner: Runner, saved: dict) -> None:
    """Continue after the last sample seen, also with another batch size or number of processes."""
    batch_size, processes = runner.train_dataloader.batch_size, get_dist_info()[1]
    saved_batch_size = saved.get('batch_size', batch_size)
    saved_processes = saved.get('processes', processes)
    if (saved_batch_size, saved_processes) != (batch_size, processes):
        runner.logger.warning(
            f'resume: {saved_processes} processes x {saved_batch_size} images a step before, '
            f'{processes} x {batch_size} now; the data goes on after the {saved.get("samples")} '
            'samples seen, max_iters and schedules still count iterations'
        )
    if isinstance(runner.train_loop, ResumableIterLoop):
        runner.train_loop.resume_at(saved.get('samples'))


def _restore_random_state(runner: Runner, states: list[dict]) -> None:
    """Give the training loop the random state that the same process had in the saved run."""
    processes = get_dist_info()[1]
    if get_rank() < len(states):
        runner.train_loop.random_state = states[get_rank()]
    if states and len(states) != processes:
        runner.logger.warning(
            f'resume: {len(states)} processes wrote the checkpoint, {processes} go on; random '
            'numbers differ from those of an uninterrupted run'
        )
