"""Values that wait on the device end up in the same histories."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub

from benchmarks import Setting, Spec, train
from benchmarks.graphs import CountReads
from depth.engine.message_hub import DeferredMessageHub
from depth.engine.step_guard import StepGuard
from depth.registry import OPTIM_WRAPPERS
from tests.shared import REPO


@pytest.fixture
def deferred(monkeypatch):
    """Treat the CPU as a device whose values wait."""
    monkeypatch.setattr(DeferredMessageHub, 'KEPT_ON', ('cpu',))
    monkeypatch.setattr(StepGuard, 'READS_ON', ())


def test_histories_are_those_of_mmengine(deferred):
    ours, theirs = DeferredMessageHub('ours'), MessageHub('theirs')
    value = torch.zeros(())
    for step in range(5):
        value.fill_(step)  # in place, as a reused buffer would be
        for hub in (ours, theirs):
            hub.update_scalar('loss', value)
            hub.update_scalar('norm', value * 2, count=3)
            hub.update_scalar('lr', 0.1 * step)
    ours.update_scalar('loss', 7.5)
    theirs.update_scalar('loss', 7.5)
    assert set(ours.log_scalars) == set(theirs.log_scalars)
    for key, history in theirs.log_scalars.items():
        for actual, expected in zip(ours.get_scalar(key).data, history.data, strict=True):
            assert actual.tolist() == pytest.approx(expected.tolist())


def test_nothing_is_read_before_somebody_asks(deferred):
    hub = DeferredMessageHub('lazy')
    with CountReads() as reads:
        for step in range(10):
            hub.update_scalar('loss', torch.tensor(float(step)))
    assert reads.count == 0
    assert hub.state_dict()['log_scalars']['loss'].data[0].tolist() == list(range(10))


def test_values_do_not_pile_up(deferred, monkeypatch):
    monkeypatch.setattr(DeferredMessageHub, 'MAX_WAITING', 4)
    hub = DeferredMessageHub('full')
    for step in range(9):
        hub.update_scalar('loss', torch.tensor(float(step)))
    assert len(hub._waiting) == 1
    assert len(hub.get_scalar('loss').data[0]) == 9


def test_the_runner_uses_it_and_a_step_reads_nothing(deferred):
    options = {
        'optim_wrapper.optimizer': ConfigDict(type='SGD', lr=0.01, _delete_=True)
    }  # AdamW counts on the CPU
    spec = Spec(
        config=str(REPO / 'configs/synthetic/depthformer_tiny_rooms.py'),
        options=options,
        shape=(32, 64),
    )
    case, runner = train.build_with_runner(spec, Setting())
    assert isinstance(MessageHub.get_current_instance(), DeferredMessageHub)
    runner.optim_wrapper.guard.waits = False  # as on a GPU; on a CPU the guard reads its flag
    case.step()
    with CountReads() as reads:
        case.step()
    assert reads.count == 0
    scalars = MessageHub.get_current_instance().log_scalars
    for key in ('train/loss', 'train/grad_norm'):
        assert len(scalars[key].data[0]) == 2


def test_clipping_by_value_logs_no_norm():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type='OptimWrapper', optimizer=optimizer, clip_grad=dict(type='value', clip_value=0.5))
    )
    wrapper.update_params((weight * 3).sum())
    assert weight.tolist() == [0.5, 0.5]
