import copy
import os
import shutil

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper as MMAmpOptimWrapper
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from depth.engine.acceleration import compile_losses
from depth.engine.optim_wrappers import CUDAAmpOptimWrapper, OptimWrapper
from depth.engine.step_guard import StepGuard
from depth.engine.training_step import run_step_again

OPTIMIZERS = {
    'adamw': lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1),
    'fused_adamw': lambda parameters: torch.optim.AdamW(
        parameters, lr=0.1, weight_decay=0.1, fused=True
    ),
    'sgd': lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    'momentum': lambda parameters: torch.optim.SGD(
        parameters, lr=0.1, momentum=0.9, weight_decay=0.1
    ),
}


class HostReads(TorchDispatchMode):
    """Count how often a tensor's value comes to the host, for which a GPU would be waited for."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def train(model, wrapper, factors, every=1):
    """Train one step a factor of the loss; a factor of inf or NaN makes a bad step."""
    torch.manual_seed(1)
    for index, factor in enumerate(factors):
        if wrapper.guard is not None and index % every == 0:
            wrapper.guard.begin_window()
        images = torch.rand(2, 3, 8, 8)
        with wrapper.optim_context(model):
            loss = model(images if factor is not None else images * torch.nan).square().mean()
        wrapper.update_params(loss * (1 if factor is None else factor))


def state(model, optimizer):
    values = dict(model.state_dict())
    for index, parameter in enumerate(model.parameters()):
        for name, value in optimizer.state[parameter].items():
            if name != 'step' and value is not None:
                values[f'{index}.{name}'] = value
    return {
        name: torch.as_tensor(value)
        for name, value in values.items()
        if not name.endswith('num_batches_tracked')
    }


def trained(build, factors, waits, limit=100, **options):
    model = network()
    wrapper = OptimWrapper(build(model.parameters()), **options)
    wrapper.guard = StepGuard(model, limit=limit, waits=waits)
    train(model, wrapper, factors)
    return model, wrapper


@pytest.mark.parametrize(
    'clip_grad', [None, dict(max_norm=1.0), dict(type='value', clip_value=0.1)]
)
@pytest.mark.parametrize('name', OPTIMIZERS)
@pytest.mark.parametrize('bad', [torch.nan, torch.inf, None])
def test_a_bad_step_changes_nothing_with_and_without_a_wait(name, bad, clip_grad):
    factors = [bad, 1, 1, bad, bad, 1]  # the very first step makes the optimizer's state
    models = {}
    for waits in (True, False):
        clip = copy.deepcopy(clip_grad)
        model, wrapper = trained(OPTIMIZERS[name], factors[:3], waits, clip_grad=clip)
        before = {key: value.clone() for key, value in state(model, wrapper.optimizer).items()}
        train(model, wrapper, [bad, bad])
        after = state(model, wrapper.optimizer)
        assert all(torch.equal(before[key], after[key]) for key in before), [
            key for key in before if not torch.equal(before[key], after[key])
        ]
        assert int(wrapper.guard.in_a_row) == 2
        models[waits] = after
    # AdamW's step counter, which lies on the CPU, advances in a step that is skipped on the device.
    if name != 'adamw':
        for key, value in models[True].items():
            torch.testing.assert_close(models[False][key], value, msg=key)


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_nothing_is_read_from_the_device(name):
    model, wrapper = trained(OPTIMIZERS[name], [1], waits=False)
    model(torch.rand(2, 3, 8, 8)).square().mean().backward()
    with HostReads() as without_guard:  # AdamW reads its step counters, which lie on the CPU
        wrapper.optimizer.step()
    wrapper.optimizer.zero_grad()
    with HostReads() as reads:
        train(model, wrapper, [1, torch.nan])
    assert reads.count == 2 * without_guard.count


def test_the_guard_freezes_after_as_many_bad_steps_in_a_row_as_allowed():
    for waits in (True, False):
        model, wrapper = trained(
            OPTIMIZERS['momentum'], [1, torch.nan, 1, torch.nan], waits, limit=2
        )
        assert not bool(wrapper.guard.frozen)
        before = copy.deepcopy(model.state_dict())
        train(model, wrapper, [torch.nan, 1, 1])
        assert bool(wrapper.guard.frozen)
        weights = {
            name: value for name, value in model.state_dict().items() if value.is_floating_point()
        }
        assert all(torch.equal(before[name], value) for name, value in weights.items())


def test_an_infinite_loss_with_a_finite_gradient_is_a_bad_step():
    model, wrapper = trained(OPTIMIZERS['sgd'], [1], waits=True)
    before = copy.deepcopy(model.state_dict())
    wrapper.update_params(model(torch.rand(2, 3, 8, 8)).mean() + torch.inf)
    assert int(wrapper.guard.in_a_row) == 1
    assert torch.equal(before['0.weight'], model.state_dict()['0.weight'])


def test_one_bad_batch_of_an_accumulated_step_skips_the_whole_step():
    model = network()
    wrapper = OptimWrapper(OPTIMIZERS['sgd'](model.parameters()), accumulative_counts=3)
    wrapper.guard = StepGuard(model, limit=100)
    before = copy.deepcopy(model.state_dict())
    train(model, wrapper, [1, None, 1], every=3)
    assert torch.equal(before['0.weight'], model.state_dict()['0.weight'])
    assert torch.equal(before['1.running_mean'], model.state_dict()['1.running_mean'])
    train(model, wrapper, [1, 1, 1], every=3)
    assert not torch.equal(before['0.weight'], model.state_dict()['0.weight'])


class ScaledWrapper(CUDAAmpOptimWrapper):
    """float16's loss scaling as on a GPU, with a CPU's scaler."""

    def __init__(self, optimizer):
        super(MMAmpOptimWrapper, self).__init__(optimizer=optimizer)
        self.loss_scaler, self._scale_update_param = (
            torch.amp.GradScaler('cpu', init_scale=4.0),
            None,
        )
        self.cast_dtype = torch.bfloat16


@pytest.mark.parametrize('name', ['sgd', 'fused_adamw'])
def test_overflows_of_the_loss_scaling_are_normal_but_not_without_end(name):
    model = network()
    wrapper = ScaledWrapper(OPTIMIZERS[name](model.parameters()))
    wrapper.guard = StepGuard(model, limit=1, overflow_limit=3)

    def overflow():
        wrapper.guard.begin_window()
        loss = model(torch.rand(2, 3, 8, 8)).mean()
        loss.register_hook(lambda grad: grad * torch.inf)
        wrapper.update_params(loss)

    overflow()
    overflow()
    assert wrapper.loss_scaler.get_scale() == 1.0
    assert not bool(wrapper.guard.frozen)
    wrapper.guard.begin_window()
    wrapper.update_params(model(torch.rand(2, 3, 8, 8)).mean())
    assert wrapper.guard.overflows == 0
    before = copy.deepcopy(model.state_dict())
    for _ in range(3):
        overflow()
    assert bool(wrapper.guard.frozen)
    assert torch.equal(before['0.weight'], model.state_dict()['0.weight'])


def test_a_loss_that_is_not_finite_is_no_overflow():
    model = network()
    wrapper = ScaledWrapper(OPTIMIZERS['sgd'](model.parameters()))
    wrapper.guard = StepGuard(model, limit=1, overflow_limit=3)
    wrapper.guard.begin_window()
    wrapper.update_params(model(torch.rand(2, 3, 8, 8)).mean() * torch.nan)
    assert bool(wrapper.guard.frozen)


class Estimator(BaseModel):
    """An estimator whose second layer has no finite output for negative inputs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(4, 4)
        self.logarithm = Logarithm()

    def forward(self, inputs, data_samples=None, mode='loss'):
        return self.loss(inputs)

    def loss(self, inputs):
        return dict(loss=self.logarithm(self.backbone(inputs)).square().mean())


class Logarithm(nn.Module):
    def forward(self, values):
        return values.log()


def has_compiler():
    return bool(shutil.which(os.environ.get('CXX', 'g++')) or shutil.which('clang++'))


needs_compiler = pytest.mark.skipif(
    not has_compiler(), reason='torch.compile needs a C++ compiler on the CPU'
)


@pytest.mark.parametrize(
    'backend',
    ['aot_eager', pytest.param('inductor', marks=[pytest.mark.long, needs_compiler])],
)
def test_a_bad_step_of_a_compiled_loss_is_skipped_and_explained(backend):
    model = Estimator()
    nn.init.eye_(model.backbone.weight)
    nn.init.zeros_(model.backbone.bias)
    compile_losses(model, dict(backend=backend))
    wrapper = OptimWrapper(OPTIMIZERS['fused_adamw'](model.parameters()))
    wrapper.guard = StepGuard(model, limit=9, waits=False)  # as on a GPU
    good, bad = torch.full((2, 4), 2.0), torch.full((2, 4), -2.0)
    before = []
    for inputs in (good, bad):
        wrapper.guard.begin_window()
        before.append(model.backbone.weight.detach().clone())
        wrapper.update_params(model(inputs)['loss'])
    assert not torch.equal(before[0], before[1])
    assert torch.equal(before[1], model.backbone.weight)
    assert int(wrapper.guard.in_a_row) == 1
    compiled = model.loss
    report = run_step_again(model, dict(inputs=bad, data_samples=None))
    assert report.first.startswith('the output of logarithm (Logarithm)')
    assert model.loss is compiled
    torch.compiler.reset()
