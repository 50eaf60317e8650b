"""Checks of a config's numbers, of missing keys, and of the metric of the best checkpoint."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config

from depth.evaluation.metric import metric_directions

from .config_ranges import LOADERS, evaluators_of
from .errors import ConfigError

_DICTS = (
    'model',
    *LOADERS,
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'optim_wrapper',
    'default_hooks',
    'auto_scale_lr',
)
_TYPED = ('model', 'optim_wrapper')
_METRIC_OPTIONS = ('distance_bins', 'boundary_ratio', 'pixel_metrics', 'protocols')
_TRAINING = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
_HINTS = dict(
    model='configs/_base_/models/',
    train_dataloader='configs/_base_/datasets/',
    test_dataloader='configs/_base_/datasets/',
    train_cfg='configs/_base_/schedules/',
    optim_wrapper='configs/_base_/schedules/',
)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_count_or_zero(value: Any) -> bool:
    return _is_count(value) or (
        value == 0 and isinstance(value, int) and not isinstance(value, bool)
    )


def _is_count_or_off(value: Any) -> bool:
    return _is_count(value) or value == -1


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


_COUNT = (_is_count, 'a whole number of at least 1')
_COUNT_OR_ZERO = (_is_count_or_zero, 'a whole number of at least 0')
_POSITIVE = (_is_positive, 'a number above 0')
_Rule = tuple[Callable[[Any], bool], str]

# '*' stands for every index of a list; a dict in the place of the list counts as its one item.
_NUMBERS: dict[str, _Rule] = {
    **{f'{loader}.batch_size': _COUNT for loader in LOADERS},
    **{f'{loader}.num_workers': _COUNT_OR_ZERO for loader in LOADERS},
    'train_cfg.max_iters': _COUNT,
    'train_cfg.max_epochs': _COUNT,
    'train_cfg.val_begin': _COUNT,
    'train_cfg.val_interval': (
        _is_count,
        'a whole number of at least 1 (a training without validation has no val_dataloader, val_cfg and val_evaluator)',
    ),
    'optim_wrapper.accumulative_counts': _COUNT,
    'optim_wrapper.optimizer.lr': _POSITIVE,
    'optim_wrapper.clip_grad.max_norm': _POSITIVE,
    'default_hooks.logger.interval': _COUNT,
    'default_hooks.checkpoint.interval': (
        _is_count_or_off,
        'a whole number of at least 1, or -1: only at the end',
    ),
    'default_hooks.checkpoint.max_keep_ckpts': (
        _is_count_or_off,
        'a whole number of at least 1, or -1: all',
    ),
    'default_hooks.visualization.num_images': _COUNT_OR_ZERO,
    'param_scheduler.*.total_steps': _COUNT,
    'param_scheduler.*.max_iters': _COUNT,
    'param_scheduler.*.warmup_iters': _COUNT_OR_ZERO,
    'param_scheduler.*.T_max': _COUNT,
    'param_scheduler.*.step_size': _COUNT,
    'param_scheduler.*.milestones.*': _COUNT,
    'param_scheduler.*.begin': _COUNT_OR_ZERO,
    'param_scheduler.*.end': _COUNT,
    'auto_scale_lr.base_batch_size': _COUNT,
    'log_processor.window_size': _COUNT,
    'randomness.seed': _COUNT_OR_ZERO,
}


def check_values(cfg: Config) -> None:
    """Check that the components of a config are dicts and its numbers are in their ranges.

    Raises:
        ConfigError: At the first error, with the key, its value and the accepted values.
    """
    for key in _DICTS:
        node = cfg.get(key)
        if node is not None and not isinstance(node, dict):
            raise ConfigError(
                f'{key} is {node!r}; it is a dict of {"a type and " if key in _TYPED else ""}arguments'
            )
    for key in _TYPED:
        node = cfg.get(key)
        if node is not None and not isinstance(node.get('type'), str | type):
            raise ConfigError(f'{key}.type is {node.get("type")!r}; it names what is built')
    for pattern, (accepts, accepted) in _NUMBERS.items():
        for key, value in _values(cfg, pattern.split('.'), ''):
            if not accepts(value):
                raise ConfigError(f'{key} is {value!r}; it is {accepted}')


def _values(node: Any, names: list[str], key: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of the values that a pattern matches, without None."""
    if not names:
        if node is not None:
            yield key, node
        return
    name, remaining = names[0], names[1:]
    if name == '*' and isinstance(node, list | tuple):
        for index, item in enumerate(node):
            yield from _values(item, remaining, f'{key}.{index}')
    elif name == '*':
        yield from _values(node, remaining, key)
    elif isinstance(node, dict | Config) and name in node:
        yield from _values(node[name], remaining, f'{key}.{name}'.lstrip('.'))


def check_training_parts(cfg: Config) -> None:
    """Check that a config has the keys of a training and that ``save_best`` names a metric.

    Raises:
        ConfigError: With the missing key, or the names of the metrics.
    """
    for key in _TRAINING:
        if not cfg.get(key):
            raise ConfigError(
                f'the config has no {key}, which training needs; {_HINTS[key]} has some'
            )
    if 'max_iters' not in cfg.train_cfg and 'max_epochs' not in cfg.train_cfg:
        raise ConfigError('train_cfg has no max_iters; configs/_base_/schedules/ has some')
    _check_all_or_none(cfg, 'val')
    _check_best(cfg)


def check_testing_parts(cfg: Config) -> None:
    """Check that a config has the keys of a test.

    Raises:
        ConfigError: With the missing key.
    """
    for key in ('model', 'test_dataloader'):
        if not cfg.get(key):
            raise ConfigError(
                f'the config has no {key}, which a test needs; {_HINTS[key]} has some'
            )
    _check_all_or_none(cfg, 'test')


def _check_all_or_none(cfg: Config, split: str) -> None:
    """Check that loader, loop and evaluator of a split are all there or all missing."""
    keys = [f'{split}_dataloader', f'{split}_cfg', f'{split}_evaluator']
    missing = [key for key in keys if cfg.get(key) is None]
    if missing and len(missing) < len(keys):
        present = next(key for key in keys if key not in missing)
        raise ConfigError(
            f'the config has {present} but no {missing[0]}; {", ".join(keys)} come together or not at all'
        )


def _check_best(cfg: Config) -> None:
    """Check that ``save_best`` of the checkpoint hook is a metric and ``rule`` its direction."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    best, rule = hook.get('save_best'), hook.get('rule')
    if best is None:
        return
    hook_key = 'default_hooks.checkpoint'
    if rule not in (None, 'less', 'greater'):
        raise ConfigError(
            f"{hook_key}.rule is {rule!r}; it is 'less' or 'greater': which value of the metric is better"
        )
    if cfg.get('val_evaluator') is None:
        return
    directions = _metric_directions(cfg, 'val_evaluator')
    if directions is None:
        return
    if best != 'auto' and best not in directions:
        raise ConfigError(
            f'{hook_key}.save_best is {best!r}, which val_evaluator does not measure; it has {", ".join(directions)}'
        )
    higher = directions.get(best)
    if rule is not None and higher is not None and higher != (rule == 'greater'):
        raise ConfigError(
            f'{hook_key} keeps the {"smallest" if rule == "less" else "greatest"} {best}, which is the worst; set '
            f'{hook_key}.rule={"greater" if higher else "less"}'
        )


def _metric_directions(cfg: Config, key: str) -> dict[str, bool] | None:
    """Return whether higher is better, by the name of each of an evaluator's metrics; None if one cannot be told."""
    nodes = cfg[key] if isinstance(cfg[key], list | tuple) else [cfg[key]]
    if any(node.get('type') not in ('DepthMetric', 'MixedDepthMetric') for node in nodes):
        return None
    directions: dict[str, bool] = {}
    for config_key, node in evaluators_of(cfg, key):
        if node.get('protocols') == 'all':
            return None
        options = {name: node[name] for name in _METRIC_OPTIONS if node.get(name)}
        try:
            own = metric_directions(**options)
        except ValueError as error:
            raise ConfigError(f'{config_key}: {error}') from error
        dataset = config_key.partition('.protocols.')[2]
        directions |= own
        if dataset:
            directions |= {f'{dataset}/{name}': higher for name, higher in own.items()}
    prefixed = {}
    for node in nodes:
        if node.get('prefix'):
            prefixed |= {f'{node["prefix"]}/{name}': higher for name, higher in directions.items()}
    return directions | prefixed
