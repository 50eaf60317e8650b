"""Checks of a whole config before anything is built."""

import difflib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import Registry

from depth import registry as registries
from depth.models.backbones.fine_tuning import TUNING_OPTIONS

from .config_ranges import check_depth_range, parts_of_dataset
from .config_references import CONFIG_KEYS
from .config_values import check_testing_parts, check_training_parts, check_values
from .errors import ConfigError

# Registry from which the dict under a key is built; keys below it inherit the registry unless they
# are listed themselves.
_REGISTRY_OF = {
    'model': 'MODELS',
    'model_wrapper_cfg': 'MODEL_WRAPPERS',
    'dataset': 'DATASETS',
    'datasets': 'DATASETS',
    'pipeline': 'TRANSFORMS',
    'transforms': 'TRANSFORMS',
    'sampler': 'DATA_SAMPLERS',
    'val_evaluator': 'METRICS',
    'test_evaluator': 'METRICS',
    'default_hooks': 'HOOKS',
    'custom_hooks': 'HOOKS',
    'param_scheduler': 'PARAM_SCHEDULERS',
    'optim_wrapper': 'OPTIM_WRAPPERS',
    'optimizer': 'OPTIMIZERS',
    'visualizer': 'VISUALIZERS',
    'vis_backends': 'VISBACKENDS',
    'train_cfg': 'LOOPS',
    'val_cfg': 'LOOPS',
    'test_cfg': 'LOOPS',
    'log_processor': 'LOG_PROCESSORS',
}
# Whose components are built from their config alone. The runner gives arguments to others, and an
# estimator to its parts.
_SELF_CONTAINED = ('transform', 'dataset', 'hook', 'metric')
# Entries that builders remove before they call the constructor with the others.
_TAKEN_BEFORE = frozenset({'type', '_scope_', '_delete_', 'constructor', 'paramwise_cfg'})
# Entries of every backbone, which ``build_backbone`` takes before it calls the constructor.
_OF_BACKBONES = frozenset(TUNING_OPTIONS)
_UNCHECKED = frozenset(
    {'norm_cfg', 'act_cfg', 'conv_cfg', 'init_cfg', 'paramwise_cfg', 'batch_sampler', 'collate_fn'}
)


def check_config(cfg: Config) -> None:
    """Check every ``type``, argument and number of a config, and that depth ranges agree.

    Raises:
        ConfigError: At the first error; the message names the key.
    """
    for key in cfg:
        similar_key = _find_similar_key(key)
        if similar_key:
            raise ConfigError(f'the config sets {key!r}; did you mean {similar_key!r}?')
    check_values(cfg)
    for path, node, registry in _typed_dicts(cfg):
        _check_node(path, node, registry)
    check_depth_range(cfg)


def check_training(cfg: Config, resume: bool = False) -> None:
    """Check a config for a training, including its data, before anything is built.

    Args:
        cfg: The config.
        resume: Whether a run is continued, for which the file of ``load_from`` may be gone.

    Raises:
        ConfigError: At the first error; the message names the key.
    """
    check_values(cfg)
    check_training_parts(cfg)
    check_config(cfg)
    check_data_paths(cfg, ['train_dataloader', 'val_dataloader'])
    weights = cfg.get('load_from')
    if weights and not resume and not Path(weights).is_file():
        raise ConfigError(
            f'load_from: checkpoint {weights} does not exist; name a file that does, or leave it '
            'out to start from the weights that the model is built with'
        )


def check_testing(cfg: Config) -> None:
    """Check a config for a test, including its data, before anything is built.

    Raises:
        ConfigError: At the first error; the message names the key.
    """
    check_values(cfg)
    check_testing_parts(cfg)
    check_config(cfg)
    check_data_paths(cfg, ['test_dataloader'])


def check_run(cfg: Config) -> None:
    """Check a config for a training, or for a test if it has a test set and no training.

    Raises:
        ConfigError: At the first error; the message names the key.
    """
    trains = any(cfg.get(key) for key in ('train_cfg', 'optim_wrapper', 'param_scheduler'))
    if cfg.get('test_dataloader') and not trains:
        check_testing(cfg)
    else:
        check_training(cfg)


def check_data_paths(cfg: Config, loaders: Sequence[str]) -> None:
    """Check that the folders and split files of data sets exist.

    Args:
        cfg: The config.
        loaders: Keys of the data loaders to check.

    Raises:
        ConfigError: If one does not exist.
    """
    for loader in loaders:
        loader_dataset = (cfg.get(loader) or {}).get('dataset') or {}
        for key, dataset in parts_of_dataset(f'{loader}.dataset', loader_dataset):
            if dataset.get('pack'):
                if not Path(dataset['pack']).is_dir():
                    raise ConfigError(f'{key}.pack: {dataset["pack"]} does not exist')
                continue
            root = dataset.get('data_root')
            if root and not Path(root).is_dir():
                raise ConfigError(
                    f'{key}.data_root: {root} does not exist; put the data there '
                    f'(docs/dataset_prepare.md draws the trees) or set it with --cfg-options '
                    f'{key}.data_root=...'
                )
            split = dataset.get('ann_file')
            if split and not Path(root or '', split).is_file():
                raise ConfigError(f'{key}.ann_file: {Path(root or "", split)} does not exist')


def _find_similar_key(key: str) -> str | None:
    """Return the runner's key that an unknown top-level key resembles, None if there is none."""
    if key in CONFIG_KEYS:
        return None
    near = difflib.get_close_matches(key, CONFIG_KEYS, n=1, cutoff=0.9)
    return near[0] if near else None


def _typed_dicts(cfg: Config) -> Iterator[tuple[str, dict, Registry | None]]:
    """Yield (key, dict, registry) of every dict with a ``type``."""
    stack: list[tuple[str, object, str | None]] = [
        (key, cfg[key], _REGISTRY_OF.get(key)) for key in cfg
    ]
    while stack:
        path, node, registry = stack.pop()
        if isinstance(node, list | tuple):
            stack.extend((f'{path}[{index}]', item, registry) for index, item in enumerate(node))
        elif isinstance(node, dict | ConfigDict):
            if isinstance(node.get('type'), str):
                yield path, node, _registry(registry)
            # Below a model every dict with a type is a model, whatever its key; likewise for
            # metrics and hooks.
            inherited = registry if registry in ('MODELS', 'METRICS', 'HOOKS') else None
            for key, value in node.items():
                if key not in _UNCHECKED:
                    # A hook may hold the config of a loss.
                    name = 'MODELS' if key == 'loss' else inherited or _REGISTRY_OF.get(key)
                    stack.append((f'{path}.{key}', value, name))


def _registry(name: str | None) -> Registry | None:
    return getattr(registries, name) if name else None


def _check_node(path: str, node: dict, registry: Registry | None) -> None:
    """Check that the ``type`` of a dict is registered and takes the other entries as arguments."""
    if registry is None:
        return
    type_name = node['type']
    registry.import_from_location()
    component = registry.get(type_name)
    if component is None:
        near = difflib.get_close_matches(type_name, _names(registry), n=3, cutoff=0.4)
        hint = f'did you mean {", ".join(near)}?' if near else 'is its module in custom_imports?'
        raise ConfigError(f'{path}: there is no {registry.name} called {type_name!r}; {hint}')
    accepted = _accepted_arguments(component)
    if accepted is None:
        return
    for argument in node:
        if argument in _OF_BACKBONES and path.endswith('.backbone'):
            continue
        if argument not in accepted and argument not in _TAKEN_BEFORE:
            near = difflib.get_close_matches(argument, accepted, n=3, cutoff=0.4) or sorted(
                accepted
            )
            raise ConfigError(
                f'{path}.{argument}: {type_name} has no argument {argument!r}; did you mean '
                f'{", ".join(near)}?'
            )
    if path == 'model' or registry.name in _SELF_CONTAINED:
        for name, parameter in _required_parameters(component).items():
            accepts_none = type(None) in get_args(parameter.annotation)
            if node.get(name) is None and not accepts_none:
                raise ConfigError(f'{path} has no {name}, which {type_name} needs')


def _required_parameters(component: object) -> dict[str, inspect.Parameter]:
    """Return the parameters without a default of a class or function, by their names."""
    required = {}
    for name, parameter in inspect.signature(component).parameters.items():
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if by_name and parameter.default is parameter.empty:
            required[name] = parameter
    return required


def _names(registry: Registry) -> list[str]:
    names = list(registry.module_dict)
    return names + (_names(registry.parent) if registry.parent is not None else [])


def _accepted_arguments(component: object) -> set[str] | None:
    """Return the argument names of a class or function, None if it accepts any."""
    if not inspect.isclass(component):
        return _named_parameters(inspect.signature(component)) if callable(component) else None
    accepted: set[str] = set()
    if issubclass(component, Hook):
        accepted.add('priority')  # which the runner takes from the config
    # A class with **kwargs passes them on to its parent.
    for cls in component.__mro__:
        if '__init__' not in vars(cls):
            continue
        signature = inspect.signature(cls.__init__)
        accepted |= {name for name in signature.parameters if name != 'self'}
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            return accepted - {'kwargs', 'args'}
    return None


def _named_parameters(signature: inspect.Signature) -> set[str] | None:
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values()):
        return None
    return set(signature.parameters)
