"""Checks of the values of a config, of missing keys, and of the metric of the best checkpoint."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config

from depth.cameras import check_camera
from depth.evaluation.metric import metric_directions

from .config_ranges import LOADERS, evaluators_of, parts_of_dataset
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
    'env_cfg',
    'inference',
    'log_processor',
    'randomness',
    'visualizer',
)
_TYPED = ('model', 'optim_wrapper', 'visualizer')
_METRIC_OPTIONS = (
    'distance_bins',
    'boundary_ratio',
    'pixel_metrics',
    'protocols',
    'protocol',
    'focal_edges',
)
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


def _is_not_negative(value: Any) -> bool:
    return _is_positive(value) or (value == 0 and not isinstance(value, bool))


def _is_far_end(value: Any) -> bool:
    return _is_positive(value) or value == math.inf


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


_COUNT = (_is_count, 'a whole number of at least 1')
_COUNT_OR_ZERO = (_is_count_or_zero, 'a whole number of at least 0')
_POSITIVE = (_is_positive, 'a number above 0')
_DICT = (_is_dict, 'a dict of arguments')
_SWITCH = (_is_switch, 'True or False')
_COMPONENT = (_is_dict, 'a dict of a type and arguments')
_Rule = tuple[Callable[[Any], bool], str]

# '*' stands for every index of a list; anything else in the place of the list counts as its one
# item.
_RULES: dict[str, _Rule] = {
    **{f'{loader}.dataset': _COMPONENT for loader in LOADERS},
    **{f'{loader}.sampler': _COMPONENT for loader in LOADERS},
    **{f'{loader}.batch_size': _COUNT for loader in LOADERS},
    **{f'{loader}.num_workers': _COUNT_OR_ZERO for loader in LOADERS},
    'train_cfg.max_iters': _COUNT,
    'train_cfg.max_epochs': _COUNT,
    'train_cfg.val_begin': _COUNT,
    'train_cfg.val_interval': (
        _is_count,
        'a whole number of at least 1 (a training without validation has no val_dataloader, '
        'val_cfg and val_evaluator)',
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
    'randomness.deterministic': _SWITCH,
    'randomness.diff_rank_seed': _SWITCH,
    'auto_scale_lr.enable': _SWITCH,
    'channels_last': _SWITCH,
    'find_unused_parameters': _SWITCH,
    'load_strict': _SWITCH,
    'env_cfg.cudnn_benchmark': _SWITCH,
    'env_cfg.keep_freed_memory': _SWITCH,
    'env_cfg.mp_cfg': _DICT,
    'env_cfg.dist_cfg': _DICT,
    'sync_bn': (lambda value: value == 'torch', "'torch' or None"),
    'log_level': (
        lambda value: value in ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'),
        'DEBUG, INFO, WARNING, ERROR or CRITICAL',
    ),
    'compile': (
        lambda value: isinstance(value, bool | dict),
        'True, False or a dict of arguments of torch.compile',
    ),
    'model.backbone': _COMPONENT,
    'model.decode_head': _COMPONENT,
    'model.decode_head.min_depth': (_is_not_negative, 'a number of metres, at least 0'),
    'model.decode_head.max_depth': (_is_positive, 'a number of metres above 0'),
    'model.train_cfg': _DICT,
    'model.test_cfg': _DICT,
    'optim_wrapper.optimizer': _COMPONENT,
    'param_scheduler.*': _COMPONENT,
    'val_evaluator.*': _COMPONENT,
    'test_evaluator.*': _COMPONENT,
    'val_evaluator.*.max_depth': (_is_far_end, 'a number of metres above 0'),
    'test_evaluator.*.max_depth': (_is_far_end, 'a number of metres above 0'),
    'custom_hooks.*': _COMPONENT,
    'visualizer.vis_backends.*': _COMPONENT,
    'work_dir': (_is_text, 'the path of a folder'),
    'load_from': (_is_text, 'the path of a checkpoint'),
    'resume': (
        lambda value: isinstance(value, bool) or value == 'auto',
        "True, False or 'auto'; --resume FILE names the checkpoint to continue from",
    ),
    'launcher': (
        lambda value: value in ('none', 'pytorch', 'slurm'),
        "'none', 'pytorch' or 'slurm', given by --launcher",
    ),
    'default_scope': (
        lambda value: value == 'depth',
        "'depth': the registries in which types are looked up",
    ),
}
# Accepted keys of dicts whose readers ignore others, or read them only in a test.
_KEYS = dict(
    inference=('autocast', 'compile', 'cuda_graph', 'validation'),
    env_cfg=(
        'cudnn_benchmark',
        'mp_cfg',
        'dist_cfg',
        'resource_limit',
        'tf32',
        'keep_freed_memory',
    ),
)
# Of every data set below a loader, inside repetitions and mixtures too.
_DATASET_RULES: dict[str, _Rule] = {
    'depth_scale': (
        _is_positive,
        'the number of stored integers per metre (1000 for millimetres, 256 for KITTI), above 0',
    ),
    'min_depth': (_is_not_negative, 'a number of metres, at least 0'),
    'max_depth': (_is_positive, 'a number of metres above 0'),
    'pipeline': (
        lambda value: isinstance(value, list | tuple) and len(value) > 0,
        'a list of transforms, of which the first loads the image',
    ),
    'pipeline.*': _COMPONENT,
    'dataset': _COMPONENT,
    'datasets.*': _COMPONENT,
}


def check_values(cfg: Config) -> None:
    """Check that the components of a config are dicts and its values are of their kinds and ranges.

    Raises:
        ConfigError: At the first error, with the key, its value and the accepted values.
    """
    for key in _DICTS:
        node = cfg.get(key)
        if node is not None and not isinstance(node, dict):
            raise ConfigError(
                f'{key} is {node!r}; it is a dict of '
                f'{"a type and " if key in _TYPED else ""}arguments'
            )
    for key in _TYPED:
        node = cfg.get(key)
        if node is not None and not isinstance(node.get('type'), str | type):
            raise ConfigError(f'{key}.type is {node.get("type")!r}; it names what is built')
    _check_rules(cfg, _RULES, '')
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if hook is not None and not isinstance(hook, dict):
            raise ConfigError(f'default_hooks.{name} is {hook!r}; it is {_COMPONENT[1]}, or None')
    if cfg.get('default_intrinsics') is not None:
        try:
            check_camera(cfg.default_intrinsics, 'default_intrinsics')
        except ValueError as error:
            raise ConfigError(str(error)) from error
    for key, accepted_names in _KEYS.items():
        for name in cfg.get(key) or {}:
            if name not in accepted_names:
                raise ConfigError(
                    f'{key}.{name}: there is no such option; it is one of '
                    f'{", ".join(accepted_names)}'
                )
    for loader in LOADERS:
        for key, dataset in _datasets(cfg, loader):
            _check_rules(dataset, _DATASET_RULES, key)


def _check_rules(node: Any, rules: dict[str, _Rule], prefix: str) -> None:
    """Check the values below a node, whose own key is ``prefix``."""
    for pattern, (accepts, accepted) in rules.items():
        for key, value in _values(node, pattern.split('.'), prefix):
            if not accepts(value):
                raise ConfigError(f'{key} is {value!r}; it is {accepted}')


def _datasets(cfg: Config, loader: str) -> Iterator[tuple[str, dict]]:
    """Yield (key, config) of a loader's data set and of those inside it."""
    key = f'{loader}.dataset'
    dataset = (cfg.get(loader) or {}).get('dataset')
    while isinstance(dataset, dict):
        yield key, dataset
        inner = dataset.get('dataset')
        if inner is None:
            for member_key, member in parts_of_dataset(key, dataset):
                if member is not dataset:
                    yield member_key, member
        key, dataset = f'{key}.dataset', inner


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
    if not cfg.optim_wrapper.get('optimizer') and 'constructor' not in cfg.optim_wrapper:
        raise ConfigError(
            'the config has no optim_wrapper.optimizer, which training needs; '
            f'{_HINTS["optim_wrapper"]} has some'
        )
    if 'max_iters' not in cfg.train_cfg and 'max_epochs' not in cfg.train_cfg:
        raise ConfigError('train_cfg has no max_iters; configs/_base_/schedules/ has some')
    _check_all_or_none(cfg, 'val')
    _check_all_or_none(cfg, 'test')
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
            f'the config has {present} but no {missing[0]}; {", ".join(keys)} come together or not '
            'at all'
        )


def _check_best(cfg: Config) -> None:
    """Check that the checkpoint hook's ``save_best`` names metrics, ``rule`` their directions."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    best, rule = hook.get('save_best'), hook.get('rule')
    if best is None:
        return
    hook_key = 'default_hooks.checkpoint'
    names = best if isinstance(best, list | tuple) else [best]
    rules = rule if isinstance(rule, list | tuple) else [rule] * len(names)
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f'{hook_key}.save_best is {best!r}; it is the name of a metric, or a list of names'
        )
    if len(names) > 1 and ('auto' in names or len(set(names)) < len(names)):
        raise ConfigError(f'{hook_key}.save_best is {best!r}; a list names each metric once')
    if len(rules) != len(names):
        raise ConfigError(
            f'{hook_key}.rule is {rule!r}; it is one for all, or one for each of the {len(names)} '
            'metrics of save_best'
        )
    for name, own_rule in zip(names, rules, strict=True):
        if own_rule not in (None, 'less', 'greater'):
            raise ConfigError(
                f"{hook_key}.rule is {rule!r}; it is 'less' or 'greater': which value of the "
                'metric is better'
            )
        _check_best_metric(cfg, name, own_rule, hook_key)


def _check_best_metric(cfg: Config, best: str, rule: str | None, hook_key: str) -> None:
    """Check that the evaluator measures a metric by which the best checkpoint is chosen."""
    if cfg.get('val_evaluator') is None:
        return
    directions = evaluator_directions(cfg, 'val_evaluator')
    if directions is None:
        return
    if best != 'auto' and best not in directions:
        raise ConfigError(
            f'{hook_key}.save_best is {best!r}, which val_evaluator does not measure; it has '
            f'{", ".join(directions)}'
        )
    higher = directions.get(best)
    if rule is not None and higher is not None and higher != (rule == 'greater'):
        raise ConfigError(
            f'{hook_key} keeps the {"smallest" if rule == "less" else "greatest"} {best}, which is '
            f'the worst; set {hook_key}.rule={"greater" if higher else "less"}'
        )


def evaluator_directions(cfg: Config, key: str) -> dict[str, bool] | None:
    """Return whether higher is better, by an evaluator's metric; None if one is unknown.

    Raises:
        ConfigError: If an evaluator has impossible options.
    """
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
