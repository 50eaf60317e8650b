"""Config inside a checkpoint: stored as plain data, and read without executing it.

A name in it is looked up in the registries; nothing outside the toolbox, its projects and the
modules that the caller trusts is imported.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from sys import modules as imported_modules
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import FUNCTIONS, WEIGHT_INITIALIZERS
from mmengine.registry import Registry as MMEngineRegistry

from depth import registry as registries
from depth.shipped_configs import PACKAGE, shipped_root

from .custom_modules import imported_names, make_projects_importable
from .errors import ConfigError

# Code that a checkpoint may import: the package and the shipped projects, wherever they are
# installed.
_OWN_FOLDERS = (PACKAGE, shipped_root() / 'projects')
_OWN_PACKAGES = ('depth', 'projects')
_OWN_SCOPES = ('depth', 'mmengine')
# Keys whose values mmengine looks up in a registry.
_NAMING_KEYS = ('type', 'constructor', 'runner_type', '_scope_')
# Keys below which inference builds every component.
_BUILT_FOR_INFERENCE = ('model', 'pipeline')
PLAIN = NoneType | bool | int | float | str
_BUILTINS = dict(dict=dict, list=list, tuple=tuple)
_DOTTED = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)*')


def config_to_data(cfg: Config) -> dict:
    """Return a config as plain data: dicts, lists, tuples, texts, numbers and None.

    Classes and functions become their registry name. :func:`config_from_data` is the inverse.
    """
    return _to_data(cfg.to_dict(), _names_by_component())


def _to_data(value: Any, names: dict[int, str]) -> Any:
    if isinstance(value, Mapping):
        return {_to_data(key, names): _to_data(item, names) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_to_data(item, names) for item in value)
    if isinstance(value, list | set | frozenset):
        return [_to_data(item, names) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    # Subclasses too, such as the elements of an Enum: only the plain value is stored.
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if id(value) in names:
        return names[id(value)]
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return f'{value.__module__}.{value.__qualname__}'
    return str(value)  # a path, a dtype


def config_from_data(
    content: object, path: str | Path, trusted_modules: Sequence[str] = ()
) -> Config:
    """Return the config of a checkpoint; only registered components can be built from it.

    Args:
        content: Data of :func:`config_to_data`, or the text of older versions, which has to consist
            of assignments of literals.
        path: The checkpoint, for messages.
        trusted_modules: Modules and packages outside the toolbox and its projects that the config
            may import and name.

    Raises:
        ConfigError: If the content is neither, names a component that is not registered, or imports
            a module that belongs neither to the toolbox nor to its projects nor to
            ``trusted_modules``.
    """
    data = content
    if isinstance(content, str):
        data = parse_assignments(content, path)
    if not isinstance(data, dict):
        raise ConfigError(f'{path}: its config is a {type(data).__name__}, expected a dict')
    _check_plain(data, '', path)
    if not isinstance(data.get('model'), dict):
        raise ConfigError(f'{path}: its config has no model; name a config with --config')
    if data.get('default_scope', 'depth') != 'depth':
        raise ConfigError(
            f"{path}: default_scope of its config is {data['default_scope']!r}, only 'depth' is "
            'accepted'
        )
    _import_modules(data, path, trusted_modules)
    _check_names(data, path, trusted_modules)
    try:
        return Config(data)
    except KeyError as error:
        # A key that mmengine reserves, such as `filename`.
        raise ConfigError(f'{path}: its config cannot be used: {error.args[0]}') from error


def parse_assignments(text: str, path: str | Path) -> dict:
    """Return the variables of a text of assignments of literals, without executing it.

    Raises:
        ConfigError: If the text holds anything else; the message names the line.
    """
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise ConfigError(
            f'{path}: line {error.lineno or 1} of its config is no Python: {error.msg}'
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f'{path}: its config cannot be parsed: {error}') from error
    variables = {}
    for statement in statements:
        try:
            if not isinstance(statement, ast.Assign):
                raise _NoLiteralError(statement)
            if len(statement.targets) != 1 or not isinstance(statement.targets[0], ast.Name):
                raise _NoLiteralError(statement)
            variables[statement.targets[0].id] = _literal(statement.value)
        except _NoLiteralError as error:
            source = ' '.join((ast.get_source_segment(text, error.node) or '').split())
            raise ConfigError(
                f'{path}: line {error.node.lineno} of its config is no assignment of a literal: '
                f'{source[:100]!r}; nothing of it was run. If you trust where it comes from, write '
                'the config into a file of your own and name that (--config)'
            ) from None
        except RecursionError:
            raise ConfigError(
                f'{path}: line {statement.lineno} of its config is nested too deeply'
            ) from None
    return variables


class _NoLiteralError(Exception):
    """Raised for a syntax node that is no literal."""

    def __init__(self, node: ast.AST) -> None:
        super().__init__()
        self.node = node


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal expression, of which ``dict(...)`` and the like are a part."""
    # Not bytes, complex numbers or `...`, which no config needs.
    if isinstance(node, ast.Constant) and isinstance(node.value, PLAIN):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _literal(node.operand)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _NoLiteralError(node)
        if isinstance(node.op, ast.USub):
            return -number
        return number
    if isinstance(node, ast.List | ast.Set):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        content = {}
        for key, value in zip(node.keys, node.values, strict=True):
            name, item = _literal_item(node, key, value)
            content[name] = item
        return content
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BUILTINS:
        return _literal_call(node)
    raise _NoLiteralError(node)


def _literal_item(node: ast.Dict, key: ast.expr | None, value: ast.expr) -> tuple[Any, Any]:
    # ``**defaults`` has no key.
    if key is None:
        raise _NoLiteralError(node)
    name = _literal(key)
    if not isinstance(name, str | int | float):
        raise _NoLiteralError(node)
    return name, _literal(value)


def _literal_call(node: ast.Call) -> dict | list | tuple:
    """Return the value of ``dict(a=1)``, ``list([1])`` or ``tuple((1, 2))``."""
    if node.func.id == 'dict':
        if node.args:
            raise _NoLiteralError(node)
        content = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise _NoLiteralError(node)
            content[keyword.arg] = _literal(keyword.value)
        return content
    if node.keywords or len(node.args) > 1:
        raise _NoLiteralError(node)
    items = _literal(node.args[0]) if node.args else ()
    if not isinstance(items, list | tuple):
        raise _NoLiteralError(node)
    return _BUILTINS[node.func.id](items)


def _check_plain(value: object, key_path: str, path: str | Path) -> None:
    """Raise ConfigError at the first value that is no plain data, such as a tensor."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float):
                raise ConfigError(
                    f'{path}: a key of {key_path or "its config"} is a {type(key).__name__}, '
                    'expected text'
                )
            _check_plain(item, f'{key_path}.{key}' if key_path else str(key), path)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_plain(item, f'{key_path}[{index}]', path)
    elif not isinstance(value, PLAIN):
        raise ConfigError(
            f'{path}: {key_path} of its config is a {type(value).__name__}, expected plain data'
        )


def _import_modules(data: dict, path: str | Path, trusted: Sequence[str]) -> None:
    """Import the modules of ``custom_imports`` after checking that all of them are trusted."""
    entry = data.get('custom_imports') or {}
    names = imported_names(entry)
    if names is None:
        raise ConfigError(
            f'{path}: custom_imports of its config is {entry!r}, expected dict(imports=[module, '
            '...])'
        )
    make_projects_importable(shipped_root() / 'config.py')
    for name in names:
        if not _is_trusted(name, trusted) and not _belongs_to_toolbox(name):
            raise ConfigError(
                f'{path}: its config imports {name!r} (custom_imports), which belongs neither to '
                f'the toolbox nor to the projects in {_OWN_FOLDERS[1]}; nothing of it was '
                'imported. If you trust that module, allow '
                f"it: --trust-module {name} (tools/infer.py), trusted_modules=['{name}'] "
                '(init_model, DepthInferencer)'
            )
    if any(_is_trusted(name, trusted) for name in names):
        make_projects_importable(Path.cwd() / 'config.py')
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise ConfigError(
                f'{path}: its config imports {name!r}, which cannot be imported ({error})'
            ) from error


def _is_trusted(name: str, trusted: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f'{module}.') for module in trusted)


def _belongs_to_toolbox(name: str) -> bool:
    """Return whether importing a dotted name runs only files of the toolbox and its projects."""
    if not _DOTTED.fullmatch(name) or name.split('.')[0] not in _OWN_PACKAGES:
        return False
    # ``projects`` is a namespace package: any folder of that name on the import path adds modules
    # to it. So each level is looked up as an import would, without importing it.
    full_name, search_path = '', None
    for level in name.split('.'):
        full_name = f'{full_name}.{level}' if full_name else level
        module = imported_modules.get(full_name)
        # What is imported already is not looked up again, wherever the path leads now.
        spec = PathFinder.find_spec(full_name, search_path) if module is None else module.__spec__
        if spec is None:
            return False
        if spec.has_location:
            origin = Path(spec.origin).resolve()
            if not any(origin.is_relative_to(folder) for folder in _OWN_FOLDERS):
                return False
        search_path = list(spec.submodule_search_locations or [])
    return True


def _check_names(data: dict, path: str | Path, trusted: Sequence[str]) -> None:
    """Raise ConfigError at a name that mmengine would import or inference cannot build."""
    registered = _registered_names()
    for key_path, key, name, is_built in _named_components(data, '', False):
        where = f'{path}: {key_path} of its config'
        if not isinstance(name, str):
            raise ConfigError(f'{where} is {name!r}, expected the name of a registered component')
        if key == '_scope_':
            # In any other scope mmengine imports names that are not registered.
            if name != 'depth':
                raise ConfigError(f"{where} is {name!r}, only 'depth' is accepted")
            continue
        scope, _, bare_name = name.rpartition('.')
        if _is_trusted(name, trusted):
            continue
        if scope:
            if scope not in _OWN_SCOPES or bare_name not in registered:
                raise ConfigError(
                    f'{where} is {name!r}, which is in no registry of the toolbox; nothing of it '
                    f'was imported or called. If you trust that package, allow it: --trust-module '
                    f'{name.split(".")[0]} '
                    f"(tools/infer.py), trusted_modules=['{name.split('.')[0]}'] (init_model, "
                    'DepthInferencer)'
                )
        elif is_built and bare_name not in registered:
            raise ConfigError(
                f'{where} is {name!r}, which is not registered; is its module in custom_imports?'
            )


def _named_components(
    node: object, key_path: str, is_built: bool
) -> Iterator[tuple[str, str, object, bool]]:
    """Yield path, key, value of each entry that names a component, and if inference builds it."""
    if isinstance(node, list | tuple):
        for index, item in enumerate(node):
            yield from _named_components(item, f'{key_path}[{index}]', is_built)
    elif isinstance(node, dict):
        for key, value in node.items():
            inner = f'{key_path}.{key}' if key_path else str(key)
            if key in _NAMING_KEYS and not isinstance(value, dict | list | tuple):
                yield inner, key, value, is_built
            yield from _named_components(value, inner, is_built or key in _BUILT_FOR_INFERENCE)


def _names_by_component() -> dict[int, str]:
    """Return the first name of every registered class and function, by its identity."""
    names: dict[int, str] = {}
    for registry in _all_registries():
        for name, component in registry.module_dict.items():
            names.setdefault(id(component), name)
    return names


def _registered_names() -> set[str]:
    """Return all names in the registries, aliases of a class included."""
    names: set[str] = set()
    for registry in _all_registries():
        names.update(registry.module_dict)
    return names


def _all_registries() -> list[MMEngineRegistry]:
    """Return the registries of the toolbox and those of mmengine, with their modules imported."""
    # Inference builds from these two of mmengine as well: functions, and initial weights of layers.
    all_registries = [FUNCTIONS, WEIGHT_INITIALIZERS]
    for value in list(vars(registries).values()):
        if isinstance(value, MMEngineRegistry):
            value.import_from_location()
            all_registries.append(value)
    return all_registries
