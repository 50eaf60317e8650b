"""Reading configs, with an answer in words for each thing that can be wrong with one."""

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

# Top-level keys that the runner, the tools or inference read. Any other one is a variable: it acts where a value of
# the config says '${name}'.
CONFIG_KEYS = frozenset(
    'model train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg auto_scale_lr optim_wrapper '
    'param_scheduler val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor load_from resume '
    'launcher env_cfg log_processor log_level visualizer default_scope randomness experiment_name work_dir '
    'runner_type custom_imports model_wrapper_cfg sync_bn find_unused_parameters compile activation_checkpointing '
    'channels_last inference '
    'default_intrinsics load_strict'.split()
)
REFERENCE = re.compile(r'\$\{([^${}]*)\}')


@register_handler(['yaml', 'yml'])
class SafeYamlHandler(YamlHandler):
    """Reader of the YAML files that ``_base_`` may name; mmengine's own builds any object that such a file names."""

    def load_from_fileobj(self, file: IO, **kwargs: Any) -> Any:
        """Return plain data."""
        return yaml.safe_load(file)


def load_config(path: str | Path, cfg_options: dict | None = None, test_data: str | Path | None = None) -> Config:
    """Read a config file, apply options, resolve references, import what ``custom_imports`` names.

    Modules of ``projects`` are found from the place of the config, whatever the working directory, and a module in the
    folder of the config or of one of its bases by its plain name.

    Args:
        path: A ``.py`` config.
        cfg_options: Values by dotted key, as ``--cfg-options`` gives them.
        test_data: Another config whose test set and metric take the place of this one's.

    Raises:
        ConfigError: If the file, one of its bases or an imported module is missing, it cannot be executed, its bases
            are a circle, a variable or an option would change nothing, a reference has no value, or ``test_data`` has
            no test set.
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
        raise ConfigError(f'{path}: a file that _base_ names does not exist: {_first_path(str(error))}') from error
    except SyntaxError as error:
        raise ConfigError(f'{path}: not valid Python, line {error.lineno} of {error.filename}: {error.msg}') from error
    except Exception as error:
        raise ConfigError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    _check_assignments(cfg, files)
    if test_data:
        _take_test_data(cfg, load_config(test_data), test_data)
    apply_options(cfg, cfg_options)
    import_custom_modules(cfg, [file.parent for file, _, _ in files])
    return cfg


def open_config(config: str | Path | Config, cfg_options: dict | None = None) -> Config:
    """Return a resolved config from a file, or a resolved copy of an object that may come straight from mmengine.

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

    An option below a value that is a reference (``train_dataloader.dataset.pipeline.3.prob`` where ``pipeline`` is
    ``'${train_pipeline}'``) changes that place alone; one of the variable changes every place that refers to it.

    Args:
        cfg: The config; may be resolved already.
        options: Values by dotted key.

    Raises:
        ConfigError: If an option's first key is unknown or read by nothing, or it cannot be merged.
    """
    options = dict(options or {})
    _check_option_names(cfg, options)
    below = {key: value for key, value in options.items() if _passes_reference(cfg, key)}
    _merge(cfg, {key: value for key, value in options.items() if key not in below})
    readable = CONFIG_KEYS | _referenced_names(cfg)
    for key in options:
        name = key.split('.')[0]
        if name not in readable:
            raise ConfigError(f'--cfg-options {key}: {_why_unread(cfg, name)}')
    resolve_references(cfg)
    _merge(cfg, below)
    resolve_references(cfg)


def resolve_references(cfg: Config) -> None:
    """Replace every ``'${name}'`` by the value of that key, in place; a resolved config stays as it is.

    A string that is one reference takes the value with its type, a reference inside a longer string takes its text.
    ``name`` may be dotted (``'${train_cfg.max_iters}'``, ``'${train_pipeline.0.type}'``); its value may refer further.

    Raises:
        ConfigError: If a name has no value, or references lead back to themselves.
    """
    for key in list(cfg):
        cfg[key] = _resolve(cfg, cfg[key], (key,))


def _resolve(cfg: Config, node: Any, trail: tuple[str, ...]) -> Any:
    """Return a node without references; ``trail`` holds its place and the references that led to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = _resolve(cfg, value, (*trail[:-1], f'{trail[-1]}.{key}'))
        return node
    if isinstance(node, list | tuple):
        places = [(*trail[:-1], f'{trail[-1]}.{index}') for index in range(len(node))]
        return type(node)(_resolve(cfg, value, place) for value, place in zip(node, places, strict=True))
    if not isinstance(node, str) or not REFERENCE.search(node):
        return node
    whole = REFERENCE.fullmatch(node)
    if whole:
        return _referenced_value(cfg, whole.group(1), trail)
    return REFERENCE.sub(lambda match: _referenced_text(cfg, match.group(1), trail), node)


def _referenced_value(cfg: Config, name: str, trail: tuple[str, ...]) -> Any:
    if any(place == name or place.startswith(f'{name}.') for place in trail):
        raise ConfigError(f'the references {" -> ".join([*trail, name])} lead back to themselves; give one a value')
    node: Any = cfg
    for part in name.split('.'):
        if isinstance(node, str) and REFERENCE.fullmatch(node):
            node = _resolve(cfg, node, (*trail, name))
        if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict | Config) and part in node:
            node = node[part]
        else:
            near = difflib.get_close_matches(name, list(cfg.keys()), n=3, cutoff=0.5)
            hint = f'did you mean {", ".join(near)}?' if near else 'assign it at the top level of the config'
            raise ConfigError(f"{trail[-1]} is '${{{name}}}', but the config has no {name}; {hint}")
    return _resolve(cfg, copy.deepcopy(node), (*trail, name))


def _referenced_text(cfg: Config, name: str, trail: tuple[str, ...]) -> str:
    value = _referenced_value(cfg, name, trail)
    if isinstance(value, dict | list | tuple):
        raise ConfigError(f'{trail[-1]} has ${{{name}}} inside a text, but {name} is a {type(value).__name__}')
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
    for part in key.split('.'):
        if isinstance(node, str):
            return REFERENCE.fullmatch(node) is not None
        if isinstance(node, list | tuple):
            node = node[int(part)] if part.isdigit() and int(part) < len(node) else None
        elif isinstance(node, dict | Config):
            node = node.get(part)
        else:
            return False
    return False


def _referenced_names(cfg: Config) -> set[str]:
    """Return the variables whose values reach a key that something reads, through references."""
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
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _texts(value)


def _why_unread(cfg: Config, name: str) -> str:
    """Return why a variable would change nothing, and what to set instead."""
    places = [place for key in cfg if key in CONFIG_KEYS for place in _places_of(name, cfg[key], key)]
    hint = f'set {", ".join(places[:4])} instead, or write' if places else 'write'
    return f"no value of the config refers to {name!r}, so it changes nothing; {hint} '${{{name}}}' where it should act"


def _places_of(name: str, node: Any, place: str) -> Iterator[str]:
    """Yield the dotted keys that end in a name; pipelines are called after their variable."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name or (name.endswith('_pipeline') and key == 'pipeline'):
                yield f'{place}.{key}'
            yield from _places_of(name, value, f'{place}.{key}')
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _places_of(name, value, f'{place}.{index}')


def _read_sources(path: Path, heirs: Sequence[Path] = ()) -> list[tuple[Path, ast.Module, bool]]:
    """Return (file, its code, whether it has bases) of a config and everything that it inherits from.

    Raises:
        ConfigError: If a file is its own base.
    """
    path = path.resolve()
    if path in heirs:
        circle = [*heirs[heirs.index(path) :], path]
        raise ConfigError(f'_base_ is a circle: {" -> ".join(str(file) for file in circle)}; take one of them out')
    try:
        code = ast.parse(path.read_text(encoding='utf-8'))
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
        return []  # reading the config says what is wrong
    bases = _named_bases(code)
    files = [(path, code, bool(bases))]
    for base in bases:
        files += _read_sources(path.parent / base, [*heirs, path])
    return files


def _named_bases(code: ast.Module) -> list[str]:
    for statement in code.body:
        if isinstance(statement, ast.Assign) and '_base_' in _assigned_names(statement):
            try:
                bases = ast.literal_eval(statement.value)
            except ValueError:  # computed: left to mmengine
                return []
            bases = [bases] if isinstance(bases, str) else bases
            return [base for base in bases if isinstance(base, str) and base.endswith('.py')]
    return []


def _assigned_names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        targets: list[ast.expr] = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return []
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def _check_assignments(cfg: Config, files: Sequence[tuple[Path, ast.Module, bool]]) -> None:
    """Refuse an assignment that replaces an inherited variable which nothing reads any more.

    A variable acts if Python code of its own file reads it or a value of the config refers to it. One that no base
    has is the user's own, unless its name is almost that of a variable that acts.
    """
    referenced = _referenced_names(cfg)
    inherited = {id(code): _all_names(files[index + 1 :]) for index, (_, code, _) in enumerate(files)}
    for path, code, has_bases in files:
        if not has_bases:
            continue
        read = {node.id for node in ast.walk(code) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        for statement in code.body:
            for name in _assigned_names(statement):
                if name.startswith('_') or name in CONFIG_KEYS or name in referenced or name in read:
                    continue
                if name in inherited[id(code)]:
                    raise ConfigError(f'{path}, line {statement.lineno}: {name} = ...: {_why_unread(cfg, name)}')
                near = difflib.get_close_matches(name, referenced, n=1, cutoff=0.85)
                if near:
                    raise ConfigError(f'{path}, line {statement.lineno}: {name} = ...: did you mean {near[0]}?')


def _all_names(files: Sequence[tuple[Path, ast.Module, bool]]) -> set[str]:
    return {name for _, code, _ in files for statement in code.body for name in _assigned_names(statement)}


def _take_test_data(cfg: Config, data: Config, path: str | Path) -> None:
    """Put the test set and metric of ``data`` into ``cfg``; the model keeps its depth range, images that of theirs."""
    for key in ('test_dataloader', 'test_evaluator'):
        if not data.get(key):
            raise ConfigError(
                f'{path} has no {key}, so its data cannot be tested on; configs/_base_/datasets/ has some'
            )
        cfg[key] = data[key]
    for name in ('min_depth', 'max_depth'):
        cfg.test_dataloader.dataset.pop(name, None)


def import_custom_modules(cfg: Config, folders: Sequence[Path] = ()) -> None:
    """Import what ``custom_imports`` of a config names.

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
    """Take out the weights that only a training starts from, so that testing and inference fetch nothing.

    Raises:
        ConfigError: If the config has no model.
    """
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(f'model is {cfg.get("model")!r}; it is a dict of a type and arguments')
    cfg.model = without_pretrained(cfg.model.to_dict())


def without_pretrained(node: Any) -> Any:
    """Return a model config, or a part of one, that fetches no weights."""
    if isinstance(node, dict):
        fetched = {key: off for key, off in (('pretrained', False), ('checkpoint', None)) if node.get(key)}
        return {key: without_pretrained(value) for key, value in node.items()} | fetched
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
    found = re.search(r"[^\s'\"]+\.(?:py|json|ya?ml)", message)
    return found.group() if found else message


def _check_option_names(cfg: Config, options: dict) -> None:
    accepted = CONFIG_KEYS | set(cfg.keys())
    for key in options:
        first = key.split('.')[0]
        if first not in accepted:
            near = difflib.get_close_matches(first, accepted, n=3, cutoff=0.5)
            hint = f'did you mean {", ".join(near)}?' if near else 'see tools/misc/print_config.py for what there is'
            raise ConfigError(f'--cfg-options {key}: the config has no {first!r}; {hint}')
