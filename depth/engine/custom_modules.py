"""Import of the modules that a config names in ``custom_imports``."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from depth.shipped_configs import shipped_root

from .errors import ConfigError


def imported_names(entry: object) -> list[str] | None:
    """Return the modules that ``custom_imports`` names; None if it is not what mmengine reads."""
    names = entry.get('imports', []) if isinstance(entry, dict) else None
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return None
    return list(names)


def import_custom_modules(cfg: Config, folders: Sequence[Path] = ()) -> None:
    """Import the modules in ``custom_imports`` of a config.

    Args:
        cfg: The config.
        folders: Folders of the config and its bases, in which modules are looked for by their plain
            names too.

    Raises:
        ConfigError: If a module cannot be imported, or another one of its name was imported before.
    """
    entry = cfg.get('custom_imports') or {}
    names = imported_names(entry)
    if names is None:
        raise ConfigError(f'custom_imports is {entry!r}; it is dict(imports=[module, ...])')
    for name in names:
        file = _module_file(name, folders)
        # At the end of the path: nothing else in that folder may hide an installed module.
        if file is not None and str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f'custom_imports.imports names {name!r}, which cannot be imported ({error}); '
                'modules of "projects" are looked for in the folders above the config, modules '
                'without a dot also beside it'
            ) from error
        # An installed module, or that of another config in this process, came first.
        imported = getattr(module, '__file__', None)
        if file is not None and (imported is None or Path(imported).resolve() != file):
            raise ConfigError(
                f'custom_imports.imports names {name!r}, the file {file}, but '
                f'{imported or "a built-in module"} has that name already; rename the file'
            )


def _module_file(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of a module in one of the folders, None if there is none."""
    for folder in folders:
        file = (folder / f'{name}.py').resolve()
        if '.' not in name and file.is_file():
            return file
    return None


def make_projects_importable(config: Path) -> None:
    """Put the nearest folder above ``config`` that holds ``projects/`` onto the import path.

    The shipped projects follow at the end of the path: ``projects`` is a namespace package, so a
    config of one's own that inherits from a shipped one uses both.
    """
    for folder in config.resolve().parents:
        if (folder / 'projects').is_dir():
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
            break
    if str(shipped_root()) not in sys.path:
        sys.path.append(str(shipped_root()))
