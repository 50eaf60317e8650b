"""References between the values of a config: ``'${name}'`` takes the value of the key ``name``."""

import copy
import difflib
import re
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from .errors import ConfigError

# Top-level keys that the runner, the tools or inference read. Any other key is a variable, which
# has an effect only where a value of the config refers to it by '${name}'.
CONFIG_KEYS = frozenset(
    'model train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg '
    'auto_scale_lr optim_wrapper param_scheduler val_evaluator test_evaluator default_hooks '
    'custom_hooks data_preprocessor load_from resume launcher env_cfg log_processor log_level '
    'visualizer default_scope randomness experiment_name work_dir runner_type custom_imports '
    'model_wrapper_cfg strategy sync_bn find_unused_parameters compile activation_checkpointing '
    'channels_last inference deform_attn_backend default_intrinsics load_strict '
    'load_published'.split()
)
REFERENCE = re.compile(r'\$\{([^${}]*)\}')


def resolve_references(cfg: Config) -> None:
    """Replace every ``'${name}'`` by the value of that key, in place.

    A string that consists of one reference becomes the value with its type; a reference inside a
    longer string becomes text. ``name`` may be dotted (``'${train_cfg.max_iters}'``,
    ``'${train_pipeline.0.type}'``), and its value may contain references.

    Raises:
        ConfigError: If a name has no value, or references form a circle.
    """
    for key in list(cfg):
        cfg[key] = _resolve(cfg, cfg[key], (key,))


def _resolve(cfg: Config, node: Any, trail: tuple[str, ...]) -> Any:
    """Return a node without references; ``trail``: the references that led to it, then its key."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = _resolve(cfg, value, _extend_key(trail, key))
        return node
    if isinstance(node, list | tuple):
        items = []
        for index, value in enumerate(node):
            items.append(_resolve(cfg, value, _extend_key(trail, index)))
        return type(node)(items)
    if not isinstance(node, str) or not REFERENCE.search(node):
        return node
    # '${max_depth}' becomes the number; '${data_root}/raw' stays a text.
    single = REFERENCE.fullmatch(node)
    if single:
        return _referenced_value(cfg, single.group(1), trail)
    return REFERENCE.sub(lambda match: _referenced_text(cfg, match.group(1), trail), node)


def _extend_key(trail: tuple[str, ...], key: str | int) -> tuple[str, ...]:
    """Return the trail of a value below the node at the end of ``trail``."""
    return (*trail[:-1], f'{trail[-1]}.{key}')


def _referenced_value(cfg: Config, name: str, trail: tuple[str, ...]) -> Any:
    """Return the resolved value of a dotted key."""
    longer_trail = (*trail, name)
    # A reference to a node that contains the reference would be without end too.
    if any(key == name or key.startswith(f'{name}.') for key in trail):
        raise ConfigError(
            f'the references {" -> ".join(longer_trail)} lead back to themselves; give one a value'
        )
    node: Any = cfg
    for key in name.split('.'):
        if isinstance(node, str) and REFERENCE.fullmatch(node):
            node = _resolve(cfg, node, longer_trail)
        if isinstance(node, list | tuple) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, dict | Config) and key in node:
            node = node[key]
        else:
            near = difflib.get_close_matches(name, list(cfg.keys()), n=3, cutoff=0.5)
            hint = 'assign it at the top level of the config'
            if near:
                hint = f'did you mean {", ".join(near)}?'
            raise ConfigError(f"{trail[-1]} is '${{{name}}}', but the config has no {name}; {hint}")
    # Copied: values of one variable must not be one object, which an heir of either would change.
    return _resolve(cfg, copy.deepcopy(node), longer_trail)


def _referenced_text(cfg: Config, name: str, trail: tuple[str, ...]) -> str:
    value = _referenced_value(cfg, name, trail)
    if isinstance(value, dict | list | tuple):
        raise ConfigError(
            f'{trail[-1]} has ${{{name}}} inside a text, but {name} is a {type(value).__name__}'
        )
    return str(value)


def passes_reference(cfg: Config, key: str) -> bool:
    """Return whether a dotted key leads through a value that is a reference."""
    node: Any = cfg
    for name in key.split('.'):
        if isinstance(node, str):
            return REFERENCE.fullmatch(node) is not None
        if isinstance(node, dict | Config):
            node = node.get(name)
        elif isinstance(node, list | tuple) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return False
    return False


def referenced_names(cfg: Config) -> set[str]:
    """Return the variables that a key of ``CONFIG_KEYS`` refers to, also through others."""
    variables: set[str] = set()
    pending = [key for key in cfg if key in CONFIG_KEYS]
    while pending:
        for text in _texts(cfg.get(pending.pop())):
            for name in REFERENCE.findall(text):
                variable = name.split('.')[0]
                if variable not in variables:
                    variables.add(variable)
                    pending.append(variable)
    return variables


def _texts(node: Any) -> Iterator[str]:
    """Yield the strings of nested dicts, lists and tuples."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _texts(value)


def explain_unread(cfg: Config, name: str) -> str:
    """Return why a variable has no effect, and the keys to set instead."""
    keys: list[str] = []
    for key in cfg:
        if key in CONFIG_KEYS:
            keys += _find_keys(name, cfg[key], key)
    hint = 'write'
    if keys:
        hint = f'set {", ".join(keys[:4])} instead, or write'
    return (
        f'no value of the config refers to {name!r}, so it changes nothing; {hint} '
        f"'${{{name}}}' where it should act"
    )


def _find_keys(name: str, node: Any, prefix: str) -> Iterator[str]:
    """Yield the dotted keys below ``prefix`` that end in a name."""
    if isinstance(node, dict):
        for key, value in node.items():
            # `train_pipeline` and the like mean the keys `pipeline` of the data sets.
            if key == name or (name.endswith('_pipeline') and key == 'pipeline'):
                yield f'{prefix}.{key}'
            yield from _find_keys(name, value, f'{prefix}.{key}')
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _find_keys(name, value, f'{prefix}.{index}')
