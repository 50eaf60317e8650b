"""Processes agree on the running statistics of BatchNorms before they validate and save."""

import sys

import pytest
import torch

from tests.shared import REPO, TINY_DENSEDEPTH

from .conftest import TINY, run_two

CONFIG_TEXT = """
_base_ = ['{base}']
custom_imports = dict(imports=['recorder'])
custom_hooks = [dict(type='EMAHook', momentum=0.1), dict(type='StatisticsRecorder', out_dir='{out}')]
"""
RECORDER = """
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from depth.registry import HOOKS


@HOOKS.register_module()
class StatisticsRecorder(Hook):
    '''Write the statistics of each process after its iterations and in its validation.'''

    priority = 'VERY_HIGH'

    def __init__(self, out_dir):
        self.out_dir = Path(out_dir)

    def write(self, runner, name):
        state = runner.model.module.state_dict()
        state = {key: value.clone() for key, value in state.items() if 'running' in key}
        torch.save(state, self.out_dir / f'{name}_{get_rank()}.pt')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.write(runner, 'trained')

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.write(runner, 'validated')
"""


@pytest.mark.slow
def test_two_processes_validate_and_save_the_mean_of_their_statistics(tmp_path):
    (tmp_path / 'recorder.py').write_text(RECORDER)
    base = REPO / 'configs/densedepth/densedepth_r18_rooms.py'
    config = tmp_path / 'two.py'
    config.write_text(CONFIG_TEXT.format(base=base, out=tmp_path))
    options = [
        option
        for option in TINY
        if not option.startswith(('model.', 'train_cfg', 'train_dataloader.batch'))
    ]
    options += [
        'train_cfg.max_iters=3',
        'train_cfg.val_interval=3',
        'train_dataloader.batch_size=2',
    ]
    options += [
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        *TINY_DENSEDEPTH,
    ]
    work_dir = tmp_path / 'run'
    command = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(work_dir)]
    codes, output = run_two(
        *command, '--cfg-options', *options, env=dict(PYTHONPATH=f'{tmp_path}:{REPO}')
    )
    assert codes == [0, 0], output
    trained, validated = (
        [torch.load(tmp_path / f'{name}_{rank}.pt') for rank in range(2)]
        for name in ('trained', 'validated')
    )
    saved = torch.load(work_dir / 'iter_3.pth', weights_only=True)
    assert any(not torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    for name in trained[0]:
        mean = (trained[0][name] + trained[1][name]) / 2
        torch.testing.assert_close(saved['state_dict'][name], mean, rtol=1e-6, atol=1e-9)
        assert torch.equal(validated[0][name], validated[1][name])
        # The checkpoint swaps the two: its state_dict is the average, the model's own follows.
        assert torch.equal(saved['ema_state_dict'][f'module.{name}'], validated[0][name])
