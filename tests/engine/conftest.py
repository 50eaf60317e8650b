"""A tiny training that the engine's tests start, kill and resume."""

import json
import os
import subprocess
import sys

import pytest

from tests.shared import REPO
from tests.shared_process import run_python

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


def start(*command, **kwargs):
    """Start a command in the repository, its output as text."""
    return subprocess.Popen(
        command,
        cwd=REPO,
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **kwargs,
    )


def run(*command):
    """Run a command to its end; its output is shown if it fails."""
    if command[0] == sys.executable and command[1].endswith('.py'):
        ended = run_python(command, cwd=REPO, env=ENV)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr
    process = start(*command)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


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
