"""What drives training and testing: runner, loop, hooks, schedulers, configs and checkpoints."""

from . import hooks, optim_wrappers, schedulers
from .loops import ResumableIterLoop
from .runner import DepthRunner

__all__ = ['DepthRunner', 'ResumableIterLoop', 'hooks', 'optim_wrappers', 'schedulers']
