"""Restoration of optimizer and schedules in a resumed run, also if the config has changed.

The settings of the config take precedence. If nothing has changed, the state is restored as it was.
Otherwise the optimizer keeps its moments if they fit and takes rates, weight decays and the like
from the config, and the config's schedule is advanced to the current iteration.
"""

import inspect
from collections.abc import Mapping, Sequence
from logging import Logger
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler
from torch import Tensor
from torch.optim import Optimizer

from depth.sharded_tensors import shard_like

from .checkpoint import to_plain
from .param_groups import IMPLEMENTATION, regroup_saved_state

# Entries of a parameter group by which families of optimizers differ.
_FAMILY = frozenset(
    {'betas', 'momentum', 'dampening', 'nesterov', 'alpha', 'rho', 'lr_decay', 'centered'}
)


def restore_optimization(
    wrapper: OptimWrapper,
    schedulers: Sequence[_ParamScheduler],
    saved_optimizer: Mapping,
    saved_schedulers: Sequence[Mapping],
    saved_kinds: Mapping[str, Any],
    iteration: int,
    logger: Logger,
) -> None:
    """Continue an optimizer and its schedules from a checkpoint.

    Args:
        wrapper: Optimizer built from the config.
        schedulers: Schedules built from the config, at their first step.
        saved_optimizer: State of the checkpoint's optimizer wrapper.
        saved_schedulers: States of its schedules.
        saved_kinds: Result of :func:`optimization_kinds` in the saved run; empty if unknown.
        iteration: Number of finished iterations.
        logger: Logger of warnings about everything that has changed.
    """
    kinds = optimization_kinds(wrapper, schedulers)
    ungrouped_numbers = getattr(wrapper, 'ungrouped_numbers', ())  # of mmengine's wrappers: none
    saved_optimizer, saved_schedulers = regroup_saved_state(
        wrapper.optimizer, ungrouped_numbers, saved_optimizer, saved_schedulers
    )
    problem = _find_misfit(wrapper.optimizer, saved_optimizer, saved_kinds.get('optimizer'))
    changes = _changed_schedules(schedulers, saved_schedulers, kinds, saved_kinds)
    if problem is None:
        saved_optimizer = _shard_moments(wrapper.optimizer, saved_optimizer)
        changes += _changed_settings(wrapper.optimizer, saved_optimizer, schedulers)
    if problem is None and not changes:
        wrapper.load_state_dict(dict(saved_optimizer))
        for scheduler, state in zip(schedulers, saved_schedulers, strict=True):
            scheduler.load_state_dict(state)
        return
    if problem is not None:
        logger.warning(
            f'resume: {problem}; its state (moments, step counts) starts anew, the weights go on'
        )
    else:
        logger.warning(f'resume: the optimizer goes on with changed settings: {"; ".join(changes)}')
        new_settings = []
        for group in wrapper.param_groups:
            settings = dict(group)
            settings.pop('params')
            new_settings.append(settings)
        state = dict(saved_optimizer)
        # Of the wrapper alone: the settings that the log shows, which the config now gives.
        state.pop('base_param_settings', None)
        wrapper.load_state_dict(state)
        for group, settings in zip(wrapper.param_groups, new_settings, strict=True):
            group.update(settings)
    _advance_schedulers(schedulers, iteration)
    if schedulers:
        rate = wrapper.optimizer.param_groups[0]['lr']
        logger.warning(
            f'resume: the schedule of the config goes on at iteration {iteration}, learning rate '
            f'{rate:.4g}'
        )


def restore_several_optimizers(
    wrapper: OptimWrapperDict,
    schedulers: Mapping[str, Sequence[_ParamScheduler]],
    saved_optimizers: Mapping,
    saved_schedulers: Mapping[str, Sequence[Mapping]],
) -> None:
    """Continue the optimizers of one model, whose settings may not have changed, from a checkpoint.

    Args:
        wrapper: Optimizers built from the config.
        schedulers: Schedules of each, built from the config.
        saved_optimizers: State of the checkpoint's optimizers.
        saved_schedulers: States of the schedules of each.
    """
    wrapper.load_state_dict(saved_optimizers)
    for name, own_schedulers in schedulers.items():
        for scheduler, state in zip(own_schedulers, saved_schedulers[name], strict=True):
            scheduler.load_state_dict(state)


def optimization_kinds(
    wrapper: OptimWrapper, schedulers: Sequence[_ParamScheduler]
) -> dict[str, Any]:
    """Return the class names of an optimizer and of its schedules, as a checkpoint stores them."""
    scheduler_names = [type(scheduler).__name__ for scheduler in schedulers]
    return dict(optimizer=type(wrapper.optimizer).__name__, schedulers=scheduler_names)


def _find_misfit(optimizer: Optimizer, saved: Mapping, saved_kind: str | None) -> str | None:
    """Return why an optimizer cannot continue with a saved state, None if it can."""
    kind = type(optimizer).__name__
    if saved_kind is not None and saved_kind != kind:
        return f'the checkpoint was written with {saved_kind}, the config has {kind}'
    groups, saved_groups = optimizer.param_groups, saved.get('param_groups', [])
    if [len(group['params']) for group in groups] != [
        len(group['params']) for group in saved_groups
    ]:
        return f'the parameter groups of the config ({kind}) are not those of the checkpoint'
    saved_keys = _FAMILY.intersection(*saved_groups) if saved_groups else frozenset()
    own_keys = _FAMILY.intersection(*groups)
    # Checkpoints of older versions do not name the optimizer's class.
    if saved_kind is None and saved_keys != own_keys:
        return f'the checkpoint was written with another optimizer than {kind}'
    parameters = [parameter for group in groups for parameter in group['params']]
    numbers = [number for group in saved_groups for number in group['params']]
    for number, parameter in zip(numbers, parameters, strict=True):
        state = saved.get('state', {}).get(number, {})
        for name in ('exp_avg', 'momentum_buffer'):
            value = state.get(name)
            if isinstance(value, Tensor) and value.shape != parameter.shape:
                return (
                    'the parameters of the config are in another order than those of the '
                    f'checkpoint ({kind})'
                )
    return None


def _shard_moments(optimizer: Optimizer, saved: Mapping) -> dict:
    """Return a saved state whose tensors of a parameter's shape are divided as the parameter is."""
    state = dict(saved.get('state', {}))
    for group, saved_group in zip(optimizer.param_groups, saved['param_groups'], strict=True):
        for parameter, number in zip(group['params'], saved_group['params'], strict=True):
            entries = dict(state.get(number, {}))
            for name, value in entries.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
                    entries[name] = shard_like(value, parameter)
            if entries:
                state[number] = entries
    return dict(saved, state=state)


def _changed_settings(
    optimizer: Optimizer, saved: Mapping, schedulers: Sequence[_ParamScheduler]
) -> list[str]:
    """Return descriptions of the parameter group settings that differ from the saved ones.

    Settings that a schedule changes are compared by their initial value.
    """
    scheduled = {scheduler.param_name for scheduler in schedulers}
    moved = {'betas', 'momentum'} if 'beta1' in scheduled else set()
    changes = []
    for group, saved_group in zip(optimizer.param_groups, saved['param_groups'], strict=True):
        for key, value in group.items():
            if key in scheduled | moved | IMPLEMENTATION | {'params'} or key not in saved_group:
                continue
            name = key.removeprefix('initial_')
            change = f'{name} {saved_group[key]} -> {value}'
            if to_plain(saved_group[key]) != to_plain(value) and change not in changes:
                changes.append(change)
        for key in scheduled - {'beta1'}:
            if f'initial_{key}' not in saved_group:
                changes.append(f'{key} had no schedule')
    return changes


def _changed_schedules(
    schedulers: Sequence[_ParamScheduler],
    saved: Sequence[Mapping],
    kinds: Mapping,
    saved_kinds: Mapping,
) -> list[str]:
    """Return descriptions of the differences between the config's schedules and the saved ones."""
    names = kinds['schedulers']
    saved_names = saved_kinds.get('schedulers', names)
    if len(schedulers) != len(saved) or names != saved_names:
        return [f'schedules {", ".join(saved_names) or len(saved)} -> {", ".join(names) or "none"}']
    changes = []
    for scheduler, state in zip(schedulers, saved, strict=True):
        for key in _constructor_attributes(scheduler):
            value = to_plain(getattr(scheduler, key))
            if key in state and to_plain(state[key]) != value:
                changes.append(f'{type(scheduler).__name__}.{key} {state[key]} -> {value}')
            elif key not in state and value is not None:
                changes.append(f'{type(scheduler).__name__}.{key} -> {value}')
    return changes


def _constructor_attributes(scheduler: _ParamScheduler) -> list[str]:
    """Return the attributes of a schedule that hold its constructor's arguments."""
    names: set[str] = set()
    for cls in type(scheduler).__mro__:
        if '__init__' in vars(cls) and cls is not object:
            names |= set(inspect.signature(cls.__init__).parameters)
    names -= {'self', 'optimizer', 'last_step', 'verbose', 'args', 'kwargs'}
    return sorted(name for name in names if name in vars(scheduler))


def _advance_schedulers(schedulers: Sequence[_ParamScheduler], iteration: int) -> None:
    """Advance the schedules that count iterations to an iteration."""
    for scheduler in schedulers:
        # Otherwise each step would warn of a missing step of the optimizer.
        scheduler.optimizer._global_step = iteration
    for _ in range(iteration):
        for scheduler in schedulers:
            if not scheduler.by_epoch:
                scheduler.step()
