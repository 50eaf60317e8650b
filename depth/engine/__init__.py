"""Training and testing: runner, loops, hooks, schedulers, configs and checkpoints."""

from . import hooks, layer_decay, optim_wrappers, param_groups, schedulers
from .loops import ResumableIterLoop
from .runner import DepthRunner
from .val_loop import ValLoop

__all__ = [
    'DepthRunner',
    'ResumableIterLoop',
    'ValLoop',
    'hooks',
    'layer_decay',
    'optim_wrappers',
    'param_groups',
    'schedulers',
]
