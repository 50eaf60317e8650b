"""Several processes without a GPU."""

import os
import subprocess

import torch.distributed as dist


def init_cpu_process_group(launcher: str) -> None:
    """Start a gloo process group from the launcher's environment.

    Args:
        launcher: ``pytorch`` (torchrun has set the variables) or ``slurm`` (they are read from slurm's).

    Raises:
        ValueError: If the launcher is another one or its variables are missing.
    """
    if launcher == 'slurm':
        _environment_from_slurm()
    elif launcher != 'pytorch':
        raise ValueError(f"without a GPU the launcher is 'pytorch' or 'slurm', got {launcher!r}")
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR') if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher}: {", ".join(missing)} not set; start with tools/dist_train.sh CONFIG NUM_PROCESSES'
        )
    dist.init_process_group(backend='gloo')


def _environment_from_slurm() -> None:
    if 'SLURM_PROCID' not in os.environ:
        raise ValueError('--launcher slurm: SLURM_PROCID is not set, this is no slurm job; use tools/slurm_train.sh')
    nodes = os.environ['SLURM_NODELIST']
    first = subprocess.run(['scontrol', 'show', 'hostname', nodes], capture_output=True, text=True, check=True)
    os.environ.setdefault('MASTER_ADDR', first.stdout.split()[0])
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ.get('SLURM_LOCALID', '0')
