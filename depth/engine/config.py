"""Reading of config files: inheritance, options, test data of another config, clear errors."""

import copy
import difflib
import re
from pathlib import Path
from typing import IO, Any

import yaml
from mmengine.config import Config
from mmengine.fileio import YamlHandler, register_handler

from depth.shipped_configs import find_paths, shipped_root, similar_names

from .config_references import (
    CONFIG_KEYS,
    explain_unread,
    passes_reference,
    referenced_names,
    resolve_references,
)
from .config_sources import check_assignments, read_sources
from .custom_modules import import_custom_modules, make_projects_importable
from .errors import ConfigError


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
        path: A ``.py`` config, or the name of a shipped one.
        cfg_options: Values by dotted key, as ``--cfg-options`` gives them.
        test_data: Another config whose test set and metric take the place of this one's.

    Raises:
        ConfigError: If the file, one of its bases or an imported module is missing, it cannot be
            executed, its bases are a circle, a variable or an option would change nothing, a
            reference has no value, or ``test_data`` has no test set.
    """
    path = find_config(path)
    if path.suffix != '.py':
        raise ConfigError(
            f'{path} is no config, those are .py files; a checkpoint that carries its config is '
            'given as --checkpoint (infer.py) or as the checkpoint of init_model'
        )
    make_projects_importable(path)
    files = read_sources(path)
    try:
        # Imported below instead, with the folders of the config on the path and errors in words.
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
    cfg = _without_formatter(cfg)
    check_assignments(cfg, files)
    if test_data:
        _take_test_data(cfg, load_config(test_data), test_data)
    apply_options(cfg, cfg_options)
    import_custom_modules(cfg, [file.path.parent for file in files])
    return cfg


def _without_formatter(cfg: Config) -> Config:
    """Return the config with a text that yapf does not format.

    Each run writes the text of its config four times, and yapf took 0.5 s each time. ``fromfile``
    of mmengine 0.10.7 drops its argument ``format_python_code`` unless a config uses ``read_base``.
    """
    return Config(
        cfg.to_dict(),
        cfg_text=cfg.text,
        filename=cfg.filename,
        env_variables=cfg.env_variables,
        format_python_code=False,
    )


def find_config(config: str | Path) -> Path:
    """Return the path of a config that is named by its path or as a shipped one.

    Args:
        config: A path; the name of a shipped config or data set (``depthformer_swint_w7_nyu``,
            ``kitti_eigen``); or a path below the shipped ``configs/`` and ``projects/``, from any
            directory.

    Raises:
        ConfigError: If there is no such config, or the name stands for several.
    """
    path = Path(config)
    if path.is_file():
        return path
    if path.suffix != '.py' and path.name == str(config):
        paths = find_paths(path.name)
        if len(paths) == 1:
            return paths[0]
        if paths:
            raise ConfigError(
                f'config {config} stands for several, give the path of one: '
                f'{", ".join(map(str, paths))}'
            )
        near = similar_names(path.name)
        hint = f'did you mean {", ".join(near)}?' if near else 'depth list prints the names'
        raise ConfigError(
            f'config {config} is neither a file nor the name of a shipped config; {hint}'
        )
    shipped = shipped_root() / path
    if path.parts[:1] in (('configs',), ('projects',)) and shipped.is_file():
        return shipped
    raise ConfigError(_missing_config(path))


def _missing_config(path: Path) -> str:
    """Return the message for a config that does not exist, with similar names."""
    folder = path.parent
    if find_paths(path.stem):
        hint = f'there is a shipped config of that name: give {path.stem} alone'
    elif folder.is_dir():
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


def _take_test_data(cfg: Config, data: Config, path: str | Path) -> None:
    """Replace the test set and the metric of ``cfg`` by those of another config, in place."""
    for key in ('test_dataloader', 'test_evaluator'):
        if not data.get(key):
            raise ConfigError(
                f'{path} has no {key}, so its data cannot be tested on; configs/_base_/datasets/ '
                'has some'
            )
        cfg[key] = data[key]
    # Without a stated range the data set has that of its class, which is not compared with the
    # model's.
    for name in ('min_depth', 'max_depth'):
        cfg.test_dataloader.dataset.pop(name, None)


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
        if passes_reference(cfg, key):
            through_reference[key] = value
        else:
            direct[key] = value
    _merge(cfg, direct)
    readable = CONFIG_KEYS | referenced_names(cfg)
    for key in options:
        name = key.split('.')[0]
        if name not in readable:
            raise ConfigError(f'--cfg-options {key}: {explain_unread(cfg, name)}')
    resolve_references(cfg)
    _merge(cfg, through_reference)
    resolve_references(cfg)


def _check_option_names(cfg: Config, options: dict) -> None:
    accepted = CONFIG_KEYS | set(cfg.keys())
    for key in options:
        first = key.split('.')[0]
        if first not in accepted:
            near = difflib.get_close_matches(first, accepted, n=3, cutoff=0.5)
            hint = 'see tools/misc/print_config.py for what there is'
            if near:
                hint = f'did you mean {", ".join(near)}?'
            raise ConfigError(f'--cfg-options {key}: the config has no {first!r}; {hint}')


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
            reason = _reason_of(own_error)
            return f'--cfg-options {key}={value!r} does not fit the config: {reason}'
    reason = _reason_of(error)
    return f'--cfg-options {" ".join(options)} do not fit the config together: {reason}'


def _reason_of(error: Exception) -> str:
    """Return the message of an error; that of a KeyError would have quotation marks around it."""
    return str(error.args[0] if error.args else error)


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
        bare = {key: without_pretrained(value) for key, value in node.items()}
        # timm's backbones take a switch, others the file or the name of the weights.
        if node.get('pretrained'):
            bare['pretrained'] = False
        if node.get('checkpoint'):
            bare['checkpoint'] = None
        return bare
    if isinstance(node, list | tuple):
        return type(node)(without_pretrained(item) for item in node)
    return node
