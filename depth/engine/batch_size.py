"""Images per optimizer step of a launch, and scaling of the published recipe to that number.

Reference: linear rule for SGD, https://arxiv.org/abs/1706.02677; square root rule for Adam and
RMSprop,
https://arxiv.org/abs/2205.10287
"""

import math
import os
from dataclasses import dataclass
from fractions import Fraction

from mmengine.config import Config

from .errors import ConfigError

# The rate grows by the ratio of the batch sizes to the power of this exponent.
_EXPONENTS = dict(SGD=1.0, Adam=0.5, AdamW=0.5, NAdam=0.5, RAdam=0.5, Adamax=0.5, RMSprop=0.5)
# Arguments of schedulers that count iterations; a scheduler that is not listed cannot be stretched.
ITERATION_ARGUMENTS = {
    'OneCycleRate': ('total_steps', 'begin', 'end'),
    'OneCycleMomentum': ('total_steps', 'begin', 'end'),
    'WarmupCosineLR': ('max_iters', 'warmup_iters', 'begin', 'end'),
    'PolyLR': ('begin', 'end'),
    'LinearLR': ('begin', 'end'),
    'ConstantLR': ('begin', 'end'),
    'CosineAnnealingLR': ('T_max', 'begin', 'end'),
    'MultiStepLR': ('milestones', 'begin', 'end'),
    'StepLR': ('step_size', 'begin', 'end'),
}


@dataclass(frozen=True)
class BatchSize:
    """Images that one step of the optimizer sees.

    Attributes:
        processes: Processes of the launch.
        per_process: Images of one process in one iteration.
        accumulated: Iterations whose gradients make one step.
        published: Images per step of the published recipe; None if the config does not state it.
    """

    processes: int
    per_process: int
    accumulated: int
    published: int | None

    @property
    def total(self) -> int:
        """Images per step of the optimizer."""
        return self.processes * self.per_process * self.accumulated

    def describe(self) -> str:
        """Return one line with the batch of this launch and the published one."""
        noun = 'process' if self.processes == 1 else 'processes'
        factors = f'{self.processes} {noun} x {self.per_process}'
        if self.accumulated > 1:
            factors += f' x {self.accumulated} accumulated'
        text = f'{factors} = {self.total} images a step; '
        if self.published is None:
            return text + 'the config states no published batch (auto_scale_lr.base_batch_size)'
        text += f'the published recipe has {self.published}'
        if self.total != self.published:
            text += (
                ', for which its rate and schedule are made; --auto-scale-lr fits them to '
                f'{self.total}'
            )
        return text


def rate_factor(optimizer: str | None, growth: float) -> float | None:
    """Return the factor of the rate for a batch ``growth`` times as large; None without a rule."""
    exponent = _EXPONENTS.get(optimizer)
    return None if exponent is None else growth**exponent


def batch_size_of(cfg: Config, processes: int) -> BatchSize:
    """Return the batch size of a config that is launched in ``processes`` processes."""
    return BatchSize(
        processes=processes,
        per_process=cfg.train_dataloader.get('batch_size', 1),
        accumulated=cfg.optim_wrapper.get('accumulative_counts', 1),
        published=(cfg.get('auto_scale_lr') or {}).get('base_batch_size'),
    )


def launched_processes(launcher: str | None) -> int:
    """Return the number of processes that a launcher started, from its environment variables.

    Args:
        launcher: ``none``, ``pytorch`` or ``slurm``.
    """
    variable = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS').get(launcher or 'none')
    return int(os.environ.get(variable, '1')) if variable else 1


def fit_recipe_to_batch(cfg: Config) -> str | None:
    """Scale rate and schedule of a config to the batch of this launch, if ``auto_scale_lr.enable``.

    With T images per step instead of the published P, the rate is multiplied by T / P for SGD and
    by the square root of T / P for Adam and similar optimizers. Numbers of iterations (schedule,
    validation, checkpoints) are multiplied by P / T, so that the training sees as many images as
    the published one.

    Args:
        cfg: Config with resolved references; changed in place.

    Returns:
        One line about the changes; None without ``auto_scale_lr.enable``.

    Raises:
        ConfigError: If the config states no published batch, or the optimizer or a scheduler has no
            rule here.
    """
    if not (cfg.get('auto_scale_lr') or {}).get('enable'):
        return None
    batch = batch_size_of(cfg, launched_processes(cfg.get('launcher')))
    if batch.published is None:
        raise ConfigError(
            '--auto-scale-lr: the config states no published batch; set '
            'auto_scale_lr.base_batch_size'
        )
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    exponent = _EXPONENTS.get(optimizer.get('type'))
    if exponent is None or 'lr' not in optimizer:
        raise ConfigError(
            '--auto-scale-lr has no rule for optim_wrapper.optimizer of type '
            f'{optimizer.get("type")!r} (it has for {", ".join(_EXPONENTS)}); set '
            'optim_wrapper.optimizer.lr yourself'
        )
    if 'max_iters' not in cfg.train_cfg:
        raise ConfigError(
            '--auto-scale-lr stretches a training that is counted in train_cfg.max_iters; it has '
            'none'
        )
    rate = (batch.total / batch.published) ** exponent
    # Schedulers advance in every iteration, so with accumulation several times per step.
    stretch = Fraction(batch.published, batch.processes * batch.per_process)
    old_rate, old_iters = optimizer['lr'], cfg.train_cfg.max_iters
    optimizer['lr'] = old_rate * rate
    schedulers = cfg.get('param_scheduler') or []
    for index, scheduler in enumerate([schedulers] if isinstance(schedulers, dict) else schedulers):
        _stretch_scheduler(f'param_scheduler.{index}', scheduler, stretch, rate)
    for name in ('max_iters', 'val_interval', 'val_begin'):
        _stretch(cfg.train_cfg, name, stretch)
    _stretch((cfg.get('default_hooks') or {}).get('checkpoint') or {}, 'interval', stretch)
    # mmengine would scale once more: linearly for every optimizer, and without accumulation.
    cfg.auto_scale_lr['enable'] = False
    return (
        f'--auto-scale-lr: {batch.total} images a step instead of {batch.published}: rate '
        f'{old_rate:g} -> {optimizer["lr"]:g} ({"linear" if exponent == 1 else "square root"} '
        f'rule), {old_iters} -> {cfg.train_cfg.max_iters} iterations'
    )


def _stretch_scheduler(key: str, scheduler: dict, stretch: Fraction, rate: float) -> None:
    """Stretch the iterations of a scheduler's config and scale its minimal rate."""
    arguments = ITERATION_ARGUMENTS.get(scheduler.get('type'))
    if arguments is None or scheduler.get('by_epoch'):
        raise ConfigError(
            f'--auto-scale-lr cannot stretch {key}, {scheduler.get("type")!r}'
            f'{" by epoch" if scheduler.get("by_epoch") else ""}; it can '
            f'{", ".join(ITERATION_ARGUMENTS)}'
        )
    for name in arguments:
        _stretch(scheduler, name, stretch)
    if scheduler.get('eta_min'):
        scheduler['eta_min'] *= rate


def _stretch(node: dict, name: str, stretch: Fraction) -> None:
    """Multiply a number of iterations, or a list of them, and round up; -1 (off) stays."""
    value = node.get(name)
    if isinstance(value, list | tuple):
        node[name] = [math.ceil(item * stretch) for item in value]
    elif value is not None and value > 0:
        node[name] = math.ceil(value * stretch)
