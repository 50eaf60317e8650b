"""Reading of config files: options, references between values, and clear errors."""

import ast
import copy
import difflib
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import yaml
from mmengine.config import Config
from mmengine.fileio import YamlHandler, register_handler

from .errors import ConfigError

# Top-level keys that the runner, the tools or inference read. Any other key is a variable, which has
# an effect only where a value of the config refers to it by '${name}'.
CONFIG_KEYS = frozenset(
    'model train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg auto_scale_lr optim_wrapper '
    'param_scheduler val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor load_from resume '
    'launcher env_cfg log_processor log_level visualizer default_scope randomness experiment_name work_dir '
    'runner_type custom_imports model_wrapper_cfg sync_bn find_unused_parameters compile activation_checkpointing '
    'channels_last inference deform_attn_backend '
    'default_intrinsics load_strict load_published'.split()
)
REFERENCE = re.compile(r'\$\{([^${}]*)\}')


@register_handler(['yaml', 'yml'])
class SafeYamlHandler(YamlHandler):
    """Safe reader of YAML files in ``_base_``; mmengine's builds any object that a file names."""

    def load_from_fileobj(self, file: IO, **kwargs: Any) -> Any:
        """Return plain data."""
        return yaml.safe_load(file)


def load_config(
    path: str | Path, cfg_options: dict | None = None, test_data: str | Path | None = None
) -> Config:
    """Read a config file, apply options, resolve references and import ``custom_imports``.

    Modules of ``projects`` are searched in the folders above the config, not in the working
    directory, and a module in the folder of the config or of one of its bases by its plain name.

    Args:
        path: A ``.py`` config.
        cfg_options: Values by dotted key, as ``--cfg-options`` gives them.
        test_data: Another config whose test set and metric take the place of this one's.

    Raises:
        ConfigError: If the file, one of its bases or an imported module is missing, it cannot be
            executed, its bases are a circle, a variable or an option would change nothing, a
            reference has no value, or ``test_data`` has no test set.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(_missing_config(path))
    if path.suffix != '.py':
        raise ConfigError(
            f'{path} is no config, those are .py files; a checkpoint that carries its config is given as --checkpoint '
            '(infer.py) or as the checkpoint of init_model'
        )
    make_projects_importable(path)
    files = _read_sources(path)
    try:
        cfg = Config.fromfile(str(path), import_custom_modules=False)
    except FileNotFoundError as error:
        raise ConfigError(
            f'{path}: a file that _base_ names does not exist: {_first_path(str(error))}'
        ) from error
    except SyntaxError as error:
        raise ConfigError(
            f'{path}: not valid Python, line {error.lineno} of {error.filename}: {error.msg}'
        ) from error
    except Exception as error:
        raise ConfigError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    _check_assignments(cfg, files)
    if test_data:
        _take_test_data(cfg, load_config(test_data), test_data)
    apply_options(cfg, cfg_options)
    import_custom_modules(cfg, [file.parent for file, _, _ in files])
    return cfg


def open_config(config: str | Path | Config, cfg_options: dict | None = None) -> Config:
    """Return the resolved config of a file, or a resolved copy of a config object.

    Raises:
        ConfigError: As :func:`load_config`.
    """
    if not isinstance(config, Config):
        return load_config(config, cfg_options)
    cfg = copy.deepcopy(config)
    apply_options(cfg, cfg_options)
    return cfg


def apply_options(cfg: Config, options: dict | None = None) -> None:
    """Change a config by dotted keys, in place, then resolve its references.

    If a key leads through a reference (``train_dataloader.dataset.pipeline.3.prob`` where
    ``pipeline`` is ``'${train_pipeline}'``), only that value changes. An option for the variable
    (``train_pipeline.3.prob``) changes every value that refers to it.

    Args:
        cfg: The config; may be resolved already.
        options: Values by dotted key.

    Raises:
        ConfigError: If an option's first key is unknown or has no effect, or it cannot be merged.
    """
    options = dict(options or {})
    _check_option_names(cfg, options)
    # Options that lead through a reference can be merged only when it is resolved.
    through_reference, direct = {}, {}
    for key, value in options.items():
        if _passes_reference(cfg, key):
            through_reference[key] = value
        else:
            direct[key] = value
    _merge(cfg, direct)
    readable = CONFIG_KEYS | _referenced_names(cfg)
    for key in options:
        name = key.split('.')[0]
        if name not in readable:
            raise ConfigError(f'--cfg-options {key}: {_why_unread(cfg, name)}')
    resolve_references(cfg)
    _merge(cfg, through_reference)
    resolve_references(cfg)


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
    """Return a node without references; ``trail`` holds its key and the references that led to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = _resolve(cfg, value, (*trail[:-1], f'{trail[-1]}.{key}'))
        return node
    if isinstance(node, list | tuple):
        items = []
        for index, value in enumerate(node):
            items.append(_resolve(cfg, value, (*trail[:-1], f'{trail[-1]}.{index}')))
        return type(node)(items)
    if not isinstance(node, str) or not REFERENCE.search(node):
        return node
    whole = REFERENCE.fullmatch(node)
    if whole:
        return _referenced_value(cfg, whole.group(1), trail)
    return REFERENCE.sub(lambda match: _referenced_text(cfg, match.group(1), trail), node)


def _referenced_value(cfg: Config, name: str, trail: tuple[str, ...]) -> Any:
    """Return the resolved value of a dotted key."""
    if any(key == name or key.startswith(f'{name}.') for key in trail):
        raise ConfigError(
            f'the references {" -> ".join([*trail, name])} lead back to themselves; give one a value'
        )
    node: Any = cfg
    for key in name.split('.'):
        if isinstance(node, str) and REFERENCE.fullmatch(node):
            node = _resolve(cfg, node, (*trail, name))
        if isinstance(node, list | tuple) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, dict | Config) and key in node:
            node = node[key]
        else:
            near = difflib.get_close_matches(name, list(cfg.keys()), n=3, cutoff=0.5)
            hint = (
                f'did you mean {", ".join(near)}?'
                if near
                else 'assign it at the top level of the config'
            )
            raise ConfigError(f"{trail[-1]} is '${{{name}}}', but the config has no {name}; {hint}")
    return _resolve(cfg, copy.deepcopy(node), (*trail, name))


def _referenced_text(cfg: Config, name: str, trail: tuple[str, ...]) -> str:
    value = _referenced_value(cfg, name, trail)
    if isinstance(value, dict | list | tuple):
        raise ConfigError(
            f'{trail[-1]} has ${{{name}}} inside a text, but {name} is a {type(value).__name__}'
        )
    return str(value)


def _merge(cfg: Config, options: dict) -> None:
    try:
        # All at once: `a._delete_=True` belongs to the other options below `a`.
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(_describe_unfit_option(cfg, options, error)) from error


def _describe_unfit_option(cfg: Config, options: dict, error: Exception) -> str:
    """Return which option cannot be merged, and why; all of them if each alone can."""
    for key, value in options.items():
        try:
            copy.deepcopy(cfg).merge_from_dict({key: value})
        except (KeyError, TypeError, AttributeError) as own_error:
            reason = str(own_error.args[0] if own_error.args else own_error)
            return f'--cfg-options {key}={value!r} does not fit the config: {reason}'
    reason = str(error.args[0] if error.args else error)
    return f'--cfg-options {" ".join(options)} do not fit the config together: {reason}'


def _passes_reference(cfg: Config, key: str) -> bool:
    """Return whether a dotted key leads through a value that is a reference."""
    node: Any = cfg
    for name in key.split('.'):
        if isinstance(node, str):
            return REFERENCE.fullmatch(node) is not None
        if isinstance(node, list | tuple):
            node = node[int(name)] if name.isdigit() and int(name) < len(node) else None
        elif isinstance(node, dict | Config):
            node = node.get(name)
        else:
            return False
    return False


def _referenced_names(cfg: Config) -> set[str]:
    """Return the variables that a key of ``CONFIG_KEYS`` refers to, also through other variables."""
    seen: set[str] = set()
    pending = [key for key in cfg if key in CONFIG_KEYS]
    while pending:
        for text in _texts(cfg.get(pending.pop())):
            for name in REFERENCE.findall(text):
                first = name.split('.')[0]
                if first not in seen:
                    seen.add(first)
                    pending.append(first)
    return seen


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


def _why_unread(cfg: Config, name: str) -> str:
    """Return why a variable has no effect, and the keys to set instead."""
    keys: list[str] = []
    for key in cfg:
        if key in CONFIG_KEYS:
            keys += _find_keys(name, cfg[key], key)
    hint = f'set {", ".join(keys[:4])} instead, or write' if keys else 'write'
    return f"no value of the config refers to {name!r}, so it changes nothing; {hint} '${{{name}}}' where it should act"


def _find_keys(name: str, node: Any, prefix: str) -> Iterator[str]:
    """Yield the dotted keys below ``prefix`` that end in a name; ``..._pipeline`` finds ``pipeline``."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name or (name.endswith('_pipeline') and key == 'pipeline'):
                yield f'{prefix}.{key}'
            yield from _find_keys(name, value, f'{prefix}.{key}')
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _find_keys(name, value, f'{prefix}.{index}')


def _read_sources(path: Path, heirs: Sequence[Path] = ()) -> list[tuple[Path, ast.Module, bool]]:
    """Return (path, syntax tree, whether it has bases) of a config file and of all its bases.

    Raises:
        ConfigError: If a file is its own base.
    """
    path = path.resolve()
    if path in heirs:
        circle = [*heirs[heirs.index(path) :], path]
        raise ConfigError(
            f'_base_ is a circle: {" -> ".join(str(file) for file in circle)}; take one of them out'
        )
    try:
        code = ast.parse(path.read_text(encoding='utf-8'))
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
        return []  # Config.fromfile() raises the error
    bases = _named_bases(code)
    files = [(path, code, bool(bases))]
    for base in bases:
        files += _read_sources(path.parent / base, [*heirs, path])
    return files


def _named_bases(code: ast.Module) -> list[str]:
    """Return the Python files in ``_base_`` of a config's syntax tree."""
    for statement in code.body:
        if isinstance(statement, ast.Assign) and '_base_' in _assigned_names(statement):
            try:
                bases = ast.literal_eval(statement.value)
            except ValueError:  # a computed list, which only mmengine can evaluate
                return []
            if isinstance(bases, str):
                bases = [bases]
            return [base for base in bases if isinstance(base, str) and base.endswith('.py')]
    return []


def _assigned_names(statement: ast.stmt) -> list[str]:
    """Return the variables that a statement assigns."""
    if isinstance(statement, ast.Assign):
        targets: list[ast.expr] = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return []
    names = []
    for target in targets:
        names += [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
    return names


def _check_assignments(cfg: Config, files: Sequence[tuple[Path, ast.Module, bool]]) -> None:
    """Refuse an assignment that replaces an inherited variable but has no effect.

    A variable has an effect if Python code of its own file reads it or a value of the config refers
    to it. A variable that no base has is the user's own and accepted, unless its name is almost that
    of a variable with an effect.
    """
    referenced = _referenced_names(cfg)
    for index, (path, code, has_bases) in enumerate(files):
        if not has_bases:
            continue
        # Bases follow their heirs in the list.
        inherited = _all_names(files[index + 1 :])
        read = set()
        for node in ast.walk(code):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                read.add(node.id)
        for statement in code.body:
            for name in _assigned_names(statement):
                if (
                    name.startswith('_')
                    or name in CONFIG_KEYS
                    or name in referenced
                    or name in read
                ):
                    continue
                if name in inherited:
                    raise ConfigError(
                        f'{path}, line {statement.lineno}: {name} = ...: {_why_unread(cfg, name)}'
                    )
                near = difflib.get_close_matches(name, referenced, n=1, cutoff=0.85)
                if near:
                    raise ConfigError(
                        f'{path}, line {statement.lineno}: {name} = ...: did you mean {near[0]}?'
                    )


def _all_names(files: Sequence[tuple[Path, ast.Module, bool]]) -> set[str]:
    """Return the variables that any of the files assigns."""
    names: set[str] = set()
    for _, code, _ in files:
        for statement in code.body:
            names.update(_assigned_names(statement))
    return names


def _take_test_data(cfg: Config, data: Config, path: str | Path) -> None:
    """Replace the test set and the metric of ``cfg`` by those of another config, in place."""
    for key in ('test_dataloader', 'test_evaluator'):
        if not data.get(key):
            raise ConfigError(
                f'{path} has no {key}, so its data cannot be tested on; configs/_base_/datasets/ has some'
            )
        cfg[key] = data[key]
    # Without a stated range the data set has that of its class, and is not compared with the model's.
    for name in ('min_depth', 'max_depth'):
        cfg.test_dataloader.dataset.pop(name, None)


def import_custom_modules(cfg: Config, folders: Sequence[Path] = ()) -> None:
    """Import the modules in ``custom_imports`` of a config.

    Args:
        cfg: The config.
        folders: Folders of the config and its bases, in which modules are found by their plain names too.

    Raises:
        ConfigError: If a module cannot be imported, or another one of its name was imported before.
    """
    names = (cfg.get('custom_imports') or {}).get('imports', [])
    for name in [names] if isinstance(names, str) else names:
        file = _module_file(name, folders)
        # At the end of the path: nothing else in that folder may hide an installed module.
        if file is not None and str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f'custom_imports.imports names {name!r}, which cannot be imported ({error}); modules of "projects" are '
                'looked for in the folders above the config, modules without a dot also beside it'
            ) from error
        imported = getattr(module, '__file__', None)
        if file is not None and (imported is None or Path(imported).resolve() != file):
            raise ConfigError(
                f'custom_imports.imports names {name!r}, the file {file}, but {imported or "a built-in module"} has '
                'that name already; rename the file'
            )


def _module_file(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of a module in one of the folders, None if there is none."""
    for folder in folders:
        file = (folder / f'{name}.py').resolve()
        if '.' not in name and file.is_file():
            return file
    return None


def skip_pretrained(cfg: Config) -> None:
    """Remove the pretrained weights from a config, in place; tests and inference do not need them.

    Raises:
        ConfigError: If the config has no model.
    """
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(f'model is {cfg.get("model")!r}; it is a dict of a type and arguments')
    cfg.model = without_pretrained(cfg.model.to_dict())


def without_pretrained(node: Any) -> Any:
    """Return a copy of a model config, or of a part of it, without pretrained weights."""
    if isinstance(node, dict):
        copy_of_node = {key: without_pretrained(value) for key, value in node.items()}
        if node.get('pretrained'):
            copy_of_node['pretrained'] = False
        if node.get('checkpoint'):
            copy_of_node['checkpoint'] = None
        return copy_of_node
    if isinstance(node, list | tuple):
        return type(node)(without_pretrained(item) for item in node)
    return node


def make_projects_importable(config: Path) -> None:
    """Put the nearest folder above ``config`` that holds ``projects/`` onto the import path."""
    for folder in config.resolve().parents:
        if (folder / 'projects').is_dir():
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
            return


def _missing_config(path: Path) -> str:
    """Return the message for a config that does not exist, with similar names."""
    folder = path.parent
    if folder.is_dir():
        names = [item.name for item in folder.glob('*.py')]
        near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
        hint = f'the folder {folder.resolve()} has no config of a similar name'
        if near:
            hint = f'did you mean {", ".join(str(folder / name) for name in near)}?'
    else:
        hint = f'the folder {folder} does not exist either'
    return f'config {path} does not exist; {hint}'


def _first_path(message: str) -> str:
    """Return the first config path in an error message, or the whole message."""
    match = re.search(r"[^\s'\"]+\.(?:py|json|ya?ml)", message)
    return match.group() if match else message


def _check_option_names(cfg: Config, options: dict) -> None:
    accepted = CONFIG_KEYS | set(cfg.keys())
    for key in options:
        first = key.split('.')[0]
        if first not in accepted:
            near = difflib.get_close_matches(first, accepted, n=3, cutoff=0.5)
            hint = (
                f'did you mean {", ".join(near)}?'
                if near
                else 'see tools/misc/print_config.py for what there is'
            )
            raise ConfigError(f'--cfg-options {key}: the config has no {first!r}; {hint}')
