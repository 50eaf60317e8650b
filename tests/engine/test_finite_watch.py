import sys

import pytest
import torch

from depth.datasets.samplers import ResumableInfiniteSampler
from depth.engine import step_guard
from depth.engine.step_guard import TensorCopies, gradient_norm
from tests.shared import REPO

from .conftest import CONFIG, TINY, run_two


@pytest.mark.parametrize('start_iteration', [0, 5])
def test_a_sampler_names_the_batch_of_any_iteration(start_iteration):
    sampler = ResumableInfiniteSampler(range(7), batch_size=3, seed=2)
    sampler.set_start(start_iteration * 3)
    stream = iter(sampler)
    for iteration in range(start_iteration, start_iteration + 6):
        expected = [next(stream) for _ in range(3)]
        batch = sampler.batch_of_iteration(iteration)
        assert [(int(index), index.key) for index in batch] == [
            (int(index), index.key) for index in expected
        ]


# Of at most 125 elements: 120 and 1 make one chunk, 5 the next. Of 1: every tensor has its own.
@pytest.mark.parametrize('chunk', [step_guard.CHUNK, 125, 1])
def test_copies_come_back_in_their_shapes_and_layouts(chunk, monkeypatch):
    monkeypatch.setattr(step_guard, 'CHUNK', chunk)
    tensors = [
        torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.rand(()),
        torch.rand(5),
        torch.rand(7).double(),
    ]
    before = [tensor.clone() for tensor in tensors]
    copies = TensorCopies(tensors)
    copies.save()
    for tensor in tensors:
        tensor.fill_(torch.nan)
    copies.put_back_unless(torch.tensor(True))
    assert all(tensor.isnan().all() for tensor in tensors)
    copies.put_back_unless(torch.tensor(False))
    assert all(torch.equal(tensor, value) for tensor, value in zip(tensors, before, strict=True))


def test_gradient_norm_is_that_of_all_gradients():
    parameters = [
        torch.zeros(3, requires_grad=True),
        torch.zeros(2, requires_grad=True),
        torch.zeros(1),
    ]
    parameters[0].grad, parameters[1].grad = torch.tensor([1.0, 2, 2]), torch.tensor([4.0, 0])
    assert gradient_norm(parameters) == 5
    assert gradient_norm(parameters[2:]) == 0


@pytest.mark.slow
def test_two_processes_stop_together_and_name_the_samples_of_the_bad_one(tmp_path):
    config = tmp_path / 'poisoned.py'
    loss = "dict(type='PoisonedLoss', iterations=(2,), rank=1)"
    config.write_text(
        f"_base_ = ['{REPO / CONFIG}']\ncustom_imports = dict(imports=['tests.engine.poison'])\n"
        f'model = dict(decode_head=dict(loss_decode={loss}))\n'
    )
    options = [*TINY, 'train_dataloader.batch_size=1', 'train_dataloader.num_workers=0']
    command = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(tmp_path / 'run')]
    codes, output = run_two(*command, '--cfg-options', *options)
    assert codes == [1, 1], output
    assert 'loss or gradient of iteration 3 is not finite' in output
    assert 'samples (process 1): rooms_train_' in output
    assert 'loss_depth inf' in output
    dumps = sorted(path.name for path in (tmp_path / 'run').glob('nonfinite_*'))
    assert dumps == ['nonfinite_iter_3_rank1.pth']
    checkpoint = torch.load(tmp_path / 'run' / 'iter_2.pth', weights_only=True)
    assert all(
        value.isfinite().all()
        for value in checkpoint['state_dict'].values()
        if value.is_floating_point()
    )
