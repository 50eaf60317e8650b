"""Parameter groups: merged as their options allow, fused where asked to, restored from both layouts."""

import copy
import logging

import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import init_default_scope
from torch import nn

from depth.engine import step_guard
from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.engine.optim_wrappers import OptimWrapper
from depth.engine.param_groups import GroupingOptimWrapperConstructor
from depth.engine.resume import restore_optimization
from depth.engine.schedulers import OneCycleMomentum, OneCycleRate
from depth.engine.step_guard import StepGuard
from tests.shared import REPO

OPTIM_WRAPPER = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={'head': dict(lr_mult=10.0), 'head.bias': dict(lr_mult=10.0, decay_mult=0.0)},
    ),
)

CONSTRUCTORS = {
    'one group a parameter': DefaultOptimWrapperConstructor,
    'merged': GroupingOptimWrapperConstructor,
}


class Network(nn.Module):
    """Convolutions and norms in turn, so that merging changes the order of the parameters."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(4)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, images):
        return self.head(self.second_norm(self.body(self.norm(self.stem(images)).relu())))


def build(constructor, model, **optimizer):
    init_default_scope('depth')
    cfg = copy.deepcopy(OPTIM_WRAPPER)
    cfg['optimizer'].update(optimizer)
    paramwise = cfg.pop('paramwise_cfg')
    return constructor(cfg, paramwise)(model)


def training(constructor, **optimizer):
    torch.manual_seed(0)
    model = Network()
    wrapper = build(constructor, model, **optimizer)
    schedulers = [
        OneCycleRate(wrapper, total_steps=9, group_rates=True),
        OneCycleMomentum(wrapper, total_steps=9),
    ]
    return model, wrapper, schedulers


def train(model, wrapper, schedulers, iterations):
    for iteration in iterations:
        torch.manual_seed(iteration)
        wrapper.update_params(model(torch.rand(2, 3, 8, 8)).square().mean())
        for scheduler in schedulers:
            scheduler.step()


def options_by_name(model, wrapper):
    names = {parameter: name for name, parameter in model.named_parameters()}
    options = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            options[names[parameter]] = (group['lr'], group['weight_decay'], group['betas'])
    return options


@pytest.mark.parametrize(
    ('config', 'before', 'after'),
    [
        ('depthformer/depthformer_swint_w7_nyu.py', 264, 2),
        ('dpt/dpt_vit-b16_nyu_lrmult.py', 204, 3),
        ('binsformer/binsformer_mmdepth_swin_tiny_nyu.py', 375, 2),
    ],
)
def test_shipped_recipes_have_few_groups_of_the_same_options(config, before, after):
    cfg = load_config(REPO / 'configs' / config)
    with torch.device('meta'):
        model = build_without_weights(cfg)
    results = []
    for constructor in (DefaultOptimWrapperConstructor, GroupingOptimWrapperConstructor):
        wrapper_cfg = copy.deepcopy(cfg.optim_wrapper.to_dict())
        paramwise = wrapper_cfg.pop('paramwise_cfg')
        wrapper = constructor(wrapper_cfg, paramwise)(model)
        results.append((len(wrapper.optimizer.param_groups), options_by_name(model, wrapper)))
    assert [count for count, _ in results] == [before, after]
    assert results[0][1] == results[1][1]


@pytest.mark.parametrize('layout', CONSTRUCTORS)
def test_checkpoints_of_both_layouts_continue_as_if_uninterrupted(layout, caplog):
    old = CONSTRUCTORS[layout]
    expected = training(old)
    train(*expected, range(9))
    first = training(old)
    train(*first, range(4))
    weights = copy.deepcopy(first[0].state_dict())
    saved = copy.deepcopy(first[1].state_dict())
    saved_schedulers = [copy.deepcopy(scheduler.state_dict()) for scheduler in first[2]]
    model, wrapper, schedulers = training(GroupingOptimWrapperConstructor)
    assert len(wrapper.optimizer.param_groups) == 4
    model.load_state_dict(weights)
    kinds = dict(optimizer='AdamW', schedulers=['OneCycleRate', 'OneCycleMomentum'])
    logger = logging.getLogger('resume')
    restore_optimization(wrapper, schedulers, saved, saved_schedulers, kinds, 4, logger)
    assert options_by_name(model, wrapper) == options_by_name(*first[:2])
    train(model, wrapper, schedulers, range(4, 9))
    for name, value in expected[0].state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, msg=name)
    assert caplog.text == ''  # nothing has changed


@pytest.fixture
def fused_on_cpu(monkeypatch):
    monkeypatch.setattr(GroupingOptimWrapperConstructor, 'FUSED_ON', ('cpu',))


def test_the_optimizer_is_fused_where_nothing_else_is_said(fused_on_cpu):
    build_grouping = GroupingOptimWrapperConstructor
    assert build(build_grouping, Network()).optimizer.param_groups[0]['fused'] is True
    for name in ('fused', 'foreach'):
        group = build(build_grouping, Network(), **{name: False}).optimizer.param_groups[0]
        assert not group['fused']
    assert 'fused' not in build(build_grouping, Network(), type='RMSprop').optimizer.defaults


def test_a_run_of_another_machine_continues_fused(fused_on_cpu, caplog):
    first = training(GroupingOptimWrapperConstructor, fused=False)
    train(*first, range(3))
    saved = copy.deepcopy(first[1].state_dict())
    schedulers = [scheduler.state_dict() for scheduler in first[2]]
    second = training(GroupingOptimWrapperConstructor)
    restore_optimization(second[1], second[2], saved, schedulers, {}, 3, logging.getLogger('r'))
    assert all(group['fused'] for group in second[1].optimizer.param_groups)
    assert caplog.text == ''
    train(*second, range(3, 5))  # its step counters fit


def test_a_guarded_fused_step_copies_nothing(fused_on_cpu, monkeypatch):
    model, wrapper, _ = training(GroupingOptimWrapperConstructor)
    assert isinstance(wrapper, OptimWrapper)
    wrapper.guard = StepGuard(model, limit=9, waits=False)
    monkeypatch.setattr(step_guard, '_step_and_put_back', None)  # copies parameters and state
    wrapper.guard.begin_window()
    train(model, wrapper, [], range(1))
    before = copy.deepcopy([parameter.data for parameter in model.parameters()])
    wrapper.guard.begin_window()
    wrapper.update_params(model(torch.rand(2, 3, 8, 8)).mean() * torch.nan)
    assert int(wrapper.guard.in_a_row) == 1
    assert all(map(torch.equal, before, [parameter.data for parameter in model.parameters()]))
