"""Several training processes: a gloo process group, and the model's distributed wrapper."""

import inspect
import os
import subprocess

import torch.distributed as dist
from mmengine.device import get_device
from mmengine.model import MMDistributedDataParallel, is_model_wrapper, revert_sync_batchnorm
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def init_cpu_process_group(launcher: str) -> None:
    """Start a gloo process group from the launcher's environment.

    Args:
        launcher: ``pytorch`` (torchrun has set the variables) or ``slurm`` (they are derived from
            slurm's).

    Raises:
        ValueError: If the launcher is another one or its variables are missing.
    """
    if launcher == 'slurm':
        _set_environment_from_slurm()
    elif launcher != 'pytorch':
        raise ValueError(f"without a GPU the launcher is 'pytorch' or 'slurm', got {launcher!r}")
    required = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR')
    missing = [name for name in required if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher}: {", ".join(missing)} not set; start with tools/dist_train.sh '
            'CONFIG NUM_PROCESSES'
        )
    dist.init_process_group(backend='gloo')


def _set_environment_from_slurm() -> None:
    """Set torch's variables of a distributed process from those of a slurm job."""
    if 'SLURM_PROCID' not in os.environ:
        raise ValueError(
            '--launcher slurm: SLURM_PROCID is not set, this is no slurm job; use '
            'tools/slurm_train.sh'
        )
    nodes = os.environ['SLURM_NODELIST']
    command = ['scontrol', 'show', 'hostname', nodes]
    hostnames = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    os.environ.setdefault('MASTER_ADDR', hostnames.split()[0])
    set_slurm_port()
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ.get('SLURM_LOCALID', '0')


def set_slurm_port() -> None:
    """Derive ``MASTER_PORT`` from the slurm job, unless it is set.

    Jobs that share a machine get different ports, and all processes of a job the same one. Ports
    from 32768 on are left to the system, which hands them out to anyone.
    """
    job, step = (int(os.environ.get(f'SLURM_{name}_ID', '0')) for name in ('JOB', 'STEP'))
    os.environ.setdefault('MASTER_PORT', str(10000 + (job + 7919 * step) % 20000))


def wrapper_options(wrapper_cfg: dict | None, find_unused_parameters: bool) -> dict:
    """Return ``model_wrapper_cfg`` of a config with the defaults of this toolbox.

    Gradients are views into the buckets that are exchanged, which saves a copy of them. Buffers are
    not synchronised in each step; :func:`synchronize_norm_statistics` does so where it matters.

    Args:
        wrapper_cfg: ``model_wrapper_cfg`` of the config; its arguments win over the defaults here.
        find_unused_parameters: Allow parameters that take no part in the loss.
    """
    options = dict(dict(type='MMDistributedDataParallel'), **(wrapper_cfg or {}))
    if options['type'] != 'MMDistributedDataParallel':
        return options
    options.setdefault('find_unused_parameters', find_unused_parameters)
    options.setdefault('gradient_as_bucket_view', True)
    if not {'broadcast_buffers', 'forward_sync_buffers'} & options.keys():
        # Since torch 2.13 the old name is warned of.
        arguments = inspect.signature(DistributedDataParallel).parameters
        has_new_name = 'forward_sync_buffers' in arguments
        options['forward_sync_buffers' if has_new_name else 'broadcast_buffers'] = False
    return options


def wrap_for_cpu(
    model: nn.Module, wrapper_cfg: dict | None, find_unused_parameters: bool
) -> MMDistributedDataParallel:
    """Wrap a model for several processes on CPUs, with plain BatchNorm and without device ids.

    Arguments as in :func:`wrapper_options`.
    """
    options = wrapper_options(wrapper_cfg, find_unused_parameters)
    for key in ('type', 'device_ids'):
        options.pop(key, None)
    model = revert_sync_batchnorm(model.to(get_device()))
    return MMDistributedDataParallel(module=model, **options)


def unwrap_model(runner: Runner) -> nn.Module:
    """Return the runner's model without its distributed wrapper."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
