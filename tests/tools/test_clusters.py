"""Trainings that lose a process, their time or their machine go on: torchrun's restarts, slurm's requeue."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.shared import REPO

CONFIG = 'configs/synthetic/dinov3_dpt_micro_rooms.py'
OPTIONS = [
    'train_cfg.max_iters=8',
    'train_cfg.val_interval=8',
    'param_scheduler.total_steps=8',
    'train_dataloader.batch_size=1',
    'train_dataloader.num_workers=0',
    'train_dataloader.dataset.num_scenes=6',
    'train_dataloader.dataset.image_size=(64,64)',
    'train_dataloader.dataset.cache=False',
    'val_dataloader.dataset.image_size=(64,64)',
    'val_dataloader.dataset.num_scenes=3',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
    'custom_hooks.3.check_interval=1',
    'strategy.type=fsdp2',
    'strategy.checkpoint=sharded',
]
SECONDS = 300


def environment(folder):
    """Return the environment of a command whose ``python`` is this one."""
    path = (
        f'{REPO / "tests/tools/fake_slurm"}:{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'
    )
    return os.environ | dict(
        PATH=path,
        PYTHONPATH=str(REPO),
        CUDA_VISIBLE_DEVICES='',
        OMP_NUM_THREADS='1',
        FAKE_SLURM=str(folder),
        FAKE_LIMIT=str(folder / 'work' / 'iter_2.pth'),
    )


def check_complete(work_dir):
    """Check that a work dir holds one run of two starts that trained to its end."""
    record = json.loads((work_dir / 'run.json').read_text())
    assert len(record['starts']) == 2
    content = torch.load(work_dir / 'iter_8.pth', weights_only=True)
    assert content['meta']['training']['processes'] == 2
    steps = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        steps.append([entry['step'] for entry in entries if 'loss' in entry])
    assert steps[0][0] == 1
    assert 2 <= steps[1][0] - 1 <= steps[0][-1] < 8  # goes on behind a checkpoint of the first
    assert steps[1][-1] == 8


@pytest.mark.long
@pytest.mark.parametrize('event', ['limit', 'preemption'])
def test_a_slurm_job_goes_on_after_its_limit_and_after_preemption(event, tmp_path):
    env = environment(tmp_path)
    if event == 'preemption':
        env['FAKE_PREEMPT'] = '1'
    command = ['sbatch', '--nodes=1', '--ntasks-per-node=2', 'tools/slurm_train.sbatch', CONFIG]
    command += [str(tmp_path / 'work'), '--cfg-options', *OPTIONS]
    process = subprocess.run(command, cwd=REPO, env=env, timeout=SECONDS)
    output = (tmp_path / 'slurm-4711.out').read_text()
    assert process.returncode == 0, output
    assert (tmp_path / 'starts').read_text() == '2'
    assert 'SIGTERM: stopped after iteration' in output
    check_complete(tmp_path / 'work')


@pytest.mark.long
def test_torchrun_starts_the_processes_again_after_one_was_killed(tmp_path):
    work_dir = tmp_path / 'work'
    command = ['bash', 'tools/dist_train.sh', CONFIG, '2', '--work-dir', str(work_dir)]
    command += ['--resume', 'auto', '--cfg-options', *OPTIONS]
    env = environment(tmp_path) | dict(MAX_RESTARTS='1')
    log = (tmp_path / 'log.txt').open('w')
    process = subprocess.Popen(command, cwd=REPO, env=env, stdout=log, stderr=log)
    deadline = time.monotonic() + SECONDS
    while not (work_dir / 'iter_2.pth').exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(json.loads((work_dir / 'train.lock').read_text())['pid'], signal.SIGKILL)
    assert process.wait(SECONDS) == 0, (tmp_path / 'log.txt').read_text()
    check_complete(work_dir)
