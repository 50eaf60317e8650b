"""Synchronised norms compute what the norms before did, activation included."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from depth.engine.runner import DepthRunner
from depth.models.backbones import TimmBackbone


@pytest.fixture
def runner(monkeypatch):
    """A runner of several processes with GPUs, whose parent class hands the model back as it gets it."""
    runner = DepthRunner.__new__(DepthRunner)
    runner._distributed = True
    runner.cfg = Config(dict(sync_bn='torch'))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)

    def wrap_model(self, model_wrapper_cfg, model):
        assert self.cfg.sync_bn is None  # or it would convert a second time
        return model

    monkeypatch.setattr(Runner, 'wrap_model', wrap_model)
    return runner


def test_activations_inside_norms_survive(runner):
    torch.manual_seed(0)
    backbone = TimmBackbone('tf_efficientnet_lite0').eval()
    synchronised = runner.wrap_model(None, copy.deepcopy(backbone))
    norms = [
        module
        for module in synchronised.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    assert runner.cfg.sync_bn == 'torch'  # a checkpoint carries it
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for actual, expected in zip(synchronised(image), backbone(image), strict=True):
            assert torch.equal(actual, expected)


def test_another_kind_is_answered_in_words(runner):
    runner.cfg.sync_bn = 'mmcv'
    with pytest.raises(ValueError, match=r"sync_bn is 'torch' or None, got 'mmcv'"):
        runner.wrap_model(None, nn.Linear(1, 1))


def test_without_it_norms_stay(runner):
    runner.cfg.sync_bn = None
    model = nn.Sequential(nn.BatchNorm2d(2))
    assert runner.wrap_model(None, model) is model
    assert type(model[0]) is nn.BatchNorm2d
