"""Training and testing from Python: depth.apis.train and depth.apis.test."""

import mmengine.runner.runner
import pytest
import torch
from mmengine.config import Config

from depth import apis
from depth.cli.common import parse_cfg_options
from depth.engine.config import load_config
from tests.engine.conftest import CONFIG, TINY
from tests.shared import REPO


def tiny_config():
    options = parse_cfg_options([*TINY, 'train_cfg.max_iters=2', 'train_cfg.val_interval=2'])
    return load_config(REPO / CONFIG, options)


@pytest.mark.slow
def test_a_config_is_trained_and_its_checkpoint_tested(tmp_path):
    cfg = tiny_config()
    cfg.activation_checkpointing = ['backbone']
    before = cfg.to_dict()
    runner = apis.train(cfg, work_dir=tmp_path / 'train', seed=3)
    assert runner.exit_code == 0
    assert runner.seed == 3
    checkpoint = tmp_path / 'train/iter_2.pth'
    stored = torch.load(checkpoint, weights_only=True)['meta']['cfg']
    assert stored['activation_checkpointing'] == ['backbone']
    metrics = apis.test(cfg, checkpoint, work_dir=tmp_path / 'test', out_dir=tmp_path / 'depth')
    assert metrics['abs_rel'] > 0
    assert list((tmp_path / 'depth').glob('*.png'))
    assert cfg.to_dict() == before


def test_activation_checkpointing_of_mmengine_is_not_replaced():
    function = mmengine.runner.runner.turn_on_activation_checkpointing
    assert function.__module__ == 'mmengine.runner.activation_checkpointing'


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        apis.test(REPO / CONFIG, tmp_path / 'none.pth', work_dir=tmp_path)


def test_a_config_without_a_file_needs_a_work_dir():
    cfg = Config(load_config(REPO / CONFIG).to_dict())
    with pytest.raises(ValueError, match='work_dir is missing'):
        apis.train(cfg)


@pytest.mark.parametrize(
    ('own', 'strategy', 'expected'),
    [
        (None, 'fsdp2', dict(type='fsdp2')),
        ('fsdp2', 'ddp', dict(type='ddp')),
        # --strategy fsdp2 --cfg-options strategy.checkpoint=sharded
        (dict(checkpoint='sharded'), 'fsdp2', dict(type='fsdp2', checkpoint='sharded')),
        (dict(type='fsdp2', cpu_offload=True), 'fsdp2', dict(type='fsdp2', cpu_offload=True)),
        (dict(type='fsdp2', cpu_offload=True), 'ddp', dict(type='ddp')),
    ],
)
def test_options_of_a_strategy_stay_with_it(own, strategy, expected, monkeypatch):
    class Stop(Exception):
        pass

    def stop(cfg):
        raise Stop(cfg.strategy)

    cfg = tiny_config()
    if own is not None:
        cfg.strategy = own
    monkeypatch.setattr('depth.apis.launch.build_runner', stop)
    with pytest.raises(Stop) as error:
        apis.train(cfg, work_dir='unused', strategy=strategy)
    assert error.value.args[0] == expected
