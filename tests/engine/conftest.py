"""A tiny training that the engine's tests start, kill and resume."""

import json
import os
import subprocess
import sys

import pytest

from tests.shared import REPO
from tests.shared_process import RunningPython, start_processes

CONFIG = 'configs/synthetic/depthformer_tiny_rooms.py'
# Dropout and stochastic depth are on, so that a wrong random state would show.
TINY = [
    'train_cfg.max_iters=9',
    'train_cfg.val_interval=6',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.num_scenes=7',
    'train_dataloader.dataset.image_size=(64,64)',
    'val_dataloader.dataset.image_size=(64,64)',
    'val_dataloader.dataset.num_scenes=3',
    'test_dataloader.dataset.image_size=(64,64)',
    'test_dataloader.dataset.num_scenes=5',
    'test_dataloader.num_workers=0',
    'model.neck.dropout=0.1',
    'model.backbone.backbone.model_args.drop_path_rate=0.2',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.visualization.num_images=1',
]
ENV = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': str(REPO)}


def start(*command):
    """Start a Python script in the repository, in a forked process."""
    return RunningPython(command, cwd=REPO, env=ENV)


def run(*command):
    """Run a command to its end and return its output, which is shown if it fails."""
    if command[0] == sys.executable and command[1].endswith('.py'):
        process = start(*command)
        ended = process.wait()
        output = ended.stdout + ended.stderr
    else:
        ended = subprocess.run(
            command,
            cwd=REPO,
            env=ENV,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        output = ended.stdout
    assert ended.returncode == 0, output
    return output


def run_two(*command, env=None):
    """Run a script as two gloo processes; return their exit codes and what both have printed."""
    processes = start_processes(
        [*command, '--launcher', 'pytorch'], 2, cwd=REPO, env={**ENV, **(env or {})}
    )
    ended = [process.wait() for process in processes]
    codes = [process.returncode for process in ended]
    return codes, ''.join(process.stdout + process.stderr for process in ended)


def train_command(work_dir, *extra, options=()):
    """Return the command of a tiny training."""
    return [
        sys.executable,
        'tools/train.py',
        CONFIG,
        '--work-dir',
        str(work_dir),
        *extra,
        '--cfg-options',
        *TINY,
        *options,
    ]


def scalars(work_dir):
    """Return the last logged losses by iteration, of all starts in order."""
    losses = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                losses[entry['step']] = entry['loss']
    return losses


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """Return the work dir of an uninterrupted tiny training."""
    work_dir = tmp_path_factory.mktemp('trained')
    run(*train_command(work_dir))
    return work_dir
