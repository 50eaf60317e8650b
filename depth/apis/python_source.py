"""Plain data and stored configs as Python source."""

import keyword
from collections.abc import Mapping
from typing import Any

from depth.engine.errors import ConfigError


def as_source(value: Any, indent: int = 0) -> str:
    """Return plain data as Python source, dicts as calls of ``dict`` where their keys allow it."""
    space = ' ' * (indent + 4)
    if isinstance(value, Mapping):
        items = [(key, as_source(item, indent + 4)) for key, item in value.items()]
        names = [str(key) for key in value]
        if all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
            opening, closing = 'dict(', ')'
            texts = [f'{key}={text}' for key, text in items]
        else:
            opening, closing = '{', '}'
            texts = [f'{key!r}: {text}' for key, text in items]
    elif isinstance(value, list | tuple):
        opening, closing = ('[', ']') if isinstance(value, list) else ('(', ')')
        texts = [as_source(item, indent + 4) for item in value]
        if isinstance(value, tuple) and len(texts) == 1:
            return f'({texts[0]},)'
    else:
        return repr(value)
    line = f'{opening}{", ".join(texts)}{closing}'
    if len(line) + indent <= 90 and '\n' not in line:
        return line
    body = ''.join(f'{space}{text},\n' for text in texts)
    return f'{opening}\n{body}{" " * indent}{closing}'


def source_of_config(content: dict, name: str) -> str:
    """Return the config of a checkpoint as a config file.

    The depth range and the number of iterations become variables, as they are in shipped configs.

    Raises:
        ConfigError: If a key is no name of a variable.
    """
    skipped = 'load_from resume work_dir launcher max_depth min_depth max_iters'.split()
    dataset = (content.get('train_dataloader') or {}).get('dataset') or {}
    bounds = {}
    for key, default in (('min_depth', 1e-3), ('max_depth', 10.0)):
        value = content.get(key, dataset.get(key))
        bounds[key] = default if value is None else value
    lines = [f'"""Config of {name}, written by depth train --data."""', '']
    lines += [f'{key} = {value!r}' for key, value in bounds.items()]
    iters = (content.get('train_cfg') or {}).get('max_iters')
    if iters is not None:
        lines.append(f'max_iters = {iters}')
    for key, value in content.items():
        if not key.isidentifier() or keyword.iskeyword(key):
            raise ConfigError(f'{name}: its config has the key {key!r}, which is no name')
        if key in skipped:
            continue
        if key == 'model':
            value = _with_references(value, bounds)
        elif key in ('train_cfg', 'param_scheduler') and iters is not None:
            lengths = dict.fromkeys(('max_iters', 'total_steps', 'end', 'T_max'), iters)
            value = _with_references(value, lengths, 'max_iters')
        lines.append(f'{key} = {as_source(value)}')
    return '\n'.join(lines) + '\n'


def _with_references(node: Any, bounds: dict[str, float], variable: str | None = None) -> Any:
    """Return a copy of a part of a config in which values of some keys are references.

    Args:
        node: The part.
        bounds: Value by key that is replaced; another value of the key stays.
        variable: Variable that is referred to; by default that of the key's name.
    """
    if isinstance(node, Mapping):
        copied = {}
        for key, value in node.items():
            is_bound = key in bounds and value == bounds[key]
            if is_bound:
                copied[key] = f'${{{variable or key}}}'
            else:
                copied[key] = _with_references(value, bounds, variable)
        return copied
    if isinstance(node, list | tuple):
        return type(node)(_with_references(item, bounds, variable) for item in node)
    return node
