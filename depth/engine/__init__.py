"""Training and testing: runner, loops, hooks, schedulers, configs and checkpoints."""

from . import hooks, layer_decay, optim_wrappers, param_groups, schedulers
from .loops import ResumableIterLoop
from .runner import DepthRunner
from .val_loop import TestLoop, ValLoop

__all__ = [
    'DepthRunner',
    'ResumableIterLoop',
    'TestLoop',
    'ValLoop',
    'hooks',
    'layer_decay',
    'optim_wrappers',
    'param_groups',
    'schedulers',
]
