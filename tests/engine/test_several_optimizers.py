"""Several optimizers of one model, as GANs have them: what a checkpoint holds continues them exactly."""

import torch
from mmengine.optim import LinearLR, OptimWrapper, OptimWrapperDict
from torch import nn

from depth.engine.checkpoint import from_plain, to_plain
from depth.engine.resume import restore_several_optimizers
from depth.engine.training_state import _scheduler_states


def build(seed):
    """Return two layers, an optimizer with momentum for each, and their schedules."""
    torch.manual_seed(seed)
    layers = nn.ModuleDict(dict(first=nn.Linear(2, 2), second=nn.Linear(2, 2)))
    wrappers, schedulers = {}, {}
    for index, (name, layer) in enumerate(layers.items()):
        wrapper = OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1 + index, momentum=0.9))
        wrappers[name] = wrapper
        schedulers[name] = [LinearLR(wrapper, start_factor=0.1, end=6, by_epoch=False)]
    return layers, OptimWrapperDict(**wrappers), schedulers


def step(layers, wrapper, schedulers):
    inputs = torch.ones(1, 2)
    for name, layer in layers.items():
        wrapper[name].update_params(layer(inputs).square().sum())
        for scheduler in schedulers[name]:
            scheduler.step()


def test_optimizers_and_schedules_go_on_where_the_checkpoint_was_written():
    layers, wrapper, schedulers = build(0)
    for _ in range(3):
        step(layers, wrapper, schedulers)
    saved = dict(
        weights=layers.state_dict(),
        optimizer=wrapper.state_dict(),
        schedulers=_scheduler_states(schedulers),
    )
    saved = from_plain(to_plain(saved, lambda name, tensor: tensor.detach().clone()))
    resumed = build(1)
    resumed[0].load_state_dict(saved['weights'])
    restore_several_optimizers(resumed[1], resumed[2], saved['optimizer'], saved['schedulers'])
    for _ in range(2):
        step(layers, wrapper, schedulers)
        step(*resumed)
    assert resumed[1].get_lr() == wrapper.get_lr()
    for name, expected in layers.state_dict().items():
        assert torch.equal(resumed[0].state_dict()[name], expected), name
