"""Reading configs, with an answer in words for each thing that can be wrong with one."""

import difflib
import re
import sys
from pathlib import Path
from typing import IO, Any

import yaml
from mmengine.config import Config
from mmengine.fileio import YamlHandler, register_handler

from .errors import ConfigError

CONFIG_KEYS = frozenset(
    'model train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg auto_scale_lr optim_wrapper '
    'param_scheduler val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor load_from resume '
    'launcher env_cfg log_processor log_level visualizer default_scope randomness experiment_name work_dir '
    'runner_type custom_imports model_wrapper_cfg sync_bn find_unused_parameters compile activation_checkpointing '
    'channels_last inference '
    'vis_backends min_depth max_depth default_intrinsics load_strict'.split()
)


@register_handler(['yaml', 'yml'])
class SafeYamlHandler(YamlHandler):
    """Reader of the YAML files that ``_base_`` may name; mmengine's own builds any object that such a file names."""

    def load_from_fileobj(self, file: IO, **kwargs: Any) -> Any:
        """Return plain data."""
        return yaml.safe_load(file)


def load_config(path: str | Path, cfg_options: dict | None = None, test_data: str | Path | None = None) -> Config:
    """Read a config file, apply options, import what ``custom_imports`` names.

    Modules of ``projects`` are found from the place of the config, whatever the working directory.

    Args:
        path: A ``.py`` config.
        cfg_options: Values by dotted key, as ``--cfg-options`` gives them.
        test_data: Another config whose test set and metric take the place of this one's.

    Raises:
        ConfigError: If the file, one of its bases or an imported module is missing, it cannot be executed, or an
            option's first key is unknown, or ``test_data`` has no test set.
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
    try:
        cfg = Config.fromfile(str(path), import_custom_modules=False)
    except FileNotFoundError as error:
        raise ConfigError(f'{path}: a file that _base_ names does not exist: {_first_path(str(error))}') from error
    except SyntaxError as error:
        raise ConfigError(f'{path}: not valid Python, line {error.lineno} of {error.filename}: {error.msg}') from error
    except Exception as error:
        raise ConfigError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    if test_data:
        _take_test_data(cfg, load_config(test_data), test_data)
    if cfg_options:
        _check_options(cfg, cfg_options)
        cfg.merge_from_dict(cfg_options)
    import_custom_modules(cfg)
    return cfg


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


def import_custom_modules(cfg: Config) -> None:
    """Import what ``custom_imports`` of a config names.

    Raises:
        ConfigError: If a module cannot be imported.
    """
    names = (cfg.get('custom_imports') or {}).get('imports', [])
    for name in [names] if isinstance(names, str) else names:
        try:
            __import__(name)
        except ImportError as error:
            raise ConfigError(
                f'custom_imports.imports names {name!r}, which cannot be imported ({error}); modules of "projects" are '
                'looked for in the folders above the config'
            ) from error


def skip_pretrained(cfg: Config) -> None:
    """Take out the weights that only a training starts from, so that testing and inference fetch nothing."""
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


def _check_options(cfg: Config, options: dict) -> None:
    accepted = CONFIG_KEYS | set(cfg.keys())
    for key in options:
        first = key.split('.')[0]
        if first not in accepted:
            near = difflib.get_close_matches(first, accepted, n=3, cutoff=0.5)
            hint = f'did you mean {", ".join(near)}?' if near else 'see tools/misc/print_config.py for what there is'
            raise ConfigError(f'--cfg-options {key}: the config has no {first!r}; {hint}')
