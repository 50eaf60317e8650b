"""Environment of a measurement, as needed to repeat it: device, versions, commit, command."""

import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import cv2
import mmcv
import mmengine
import numpy as np
import timm
import torch

import depth

ROOT = Path(__file__).resolve().parents[1]


def environment(device: str) -> dict:
    """Return device, versions, commit and command of a measurement."""
    return dict(
        device=torch.cuda.get_device_name() if device.startswith('cuda') else cpu_name(),
        threads=torch.get_num_threads(),
        load_average=os.getloadavg()[0],
        versions=dict(
            depth=depth.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version() if device.startswith('cuda') else None,
            timm=timm.__version__,
            mmengine=mmengine.__version__,
            mmcv=mmcv.__version__,
            numpy=np.__version__,
            opencv=cv2.__version__,
        ),
        tf32=dict(
            matmul=torch.backends.cuda.matmul.allow_tf32,
            cudnn=torch.backends.cudnn.allow_tf32,
        ),
        commit=commit(),
        # As typed in the repository.
        command=shlex.join(['python', *sys.argv]).replace(f'{ROOT}/', ''),
        time=time.strftime('%Y-%m-%dT%H:%M:%S'),
    )


def cpu_name() -> str:
    """Return the name of the processor and the number of cores that this process may use."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    # A container or a job scheduler may allow fewer cores than the machine has.
    cores = os.cpu_count()
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    name = names[0] if names else platform.processor() or platform.machine()
    return f'{name}, {cores} cores'


def commit() -> str | None:
    """Return the commit of the code, marked where files differ from it.

    Outside a repository it is what the environment variable ``COMMIT`` says, or None.
    """
    revision = _git('rev-parse', '--short', 'HEAD') or os.environ.get('COMMIT')
    changes = _git('status', '--porcelain', '--untracked-files=no')
    return f'{revision} with changes' if revision and changes else revision


def _git(*arguments: str) -> str | None:
    """Return the output of a git command, None where git or the repository is missing."""
    try:
        process = subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return None if process.returncode else process.stdout.strip()
