"""Two gloo processes step as one with the batches of both, as the wrapper's defaults have it."""

import warnings

import torch
import torch.distributed as dist
from mmengine.model import BaseModel
from torch import nn

from depth.engine.distributed import wrap_for_cpu
from depth.engine.optim_wrappers import OptimWrapper
from depth.engine.step_guard import StepGuard
from tests.faults.training import SECONDS, SERVER

STEPS = 6
BAD_STEP = 2  # the first of an accumulation window, not finite in one process


class Regression(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=(self.layers(inputs) - inputs[:, :1]).square().mean())


def train(model, module, batches):
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.05, fused=True)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    wrapper.initialize_count_status(module, 0, STEPS)
    wrapper.guard = StepGuard(module, limit=9, waits=False)
    for index, inputs in enumerate(batches):
        if index % 2 == 0:
            wrapper.guard.begin_window()
        model.train_step(dict(inputs=inputs), wrapper)
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def batches():
    torch.manual_seed(1)
    inputs = torch.rand(STEPS, 4, 3)
    inputs[BAD_STEP, 1] = torch.nan  # of the second process
    return inputs


def train_one_of_two(rank, folder):
    warnings.simplefilter('error', FutureWarning)
    warnings.simplefilter('error', DeprecationWarning)
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    module = Regression()
    weights = train(wrap_for_cpu(module, None, False), module, batches()[:, rank::2])
    torch.save(weights, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def test_two_processes_step_like_one(tmp_path):
    processes = [SERVER.Process(target=train_one_of_two, args=(rank, tmp_path)) for rank in (0, 1)]
    for process in processes:
        process.start()
    module = Regression()
    expected = train(module, module, batches())
    for process in processes:
        process.join(SECONDS)
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / f'{rank}.pth', weights_only=True) for rank in (0, 1))
    start = Regression().state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(first[name], value, msg=name)
        assert torch.equal(first[name], second[name])
        assert not torch.equal(value, start[name])
