"""Configs that come with the toolbox: where they are, and their paths by name.

In a clone they lie beside the package, in a wheel below it, in ``depth/.mim``. Only the standard
library is imported here, so that a shell can complete names at once.
"""

import difflib
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
MIN_LIKENESS = 0.6  # of a name that is suggested, as difflib counts it; 1 is equality


def shipped_root() -> Path:
    """Return the folder that holds ``configs/`` and ``projects/``."""
    installed = PACKAGE / '.mim'
    return installed if installed.is_dir() else PACKAGE.parent


@cache
def config_paths() -> dict[str, tuple[Path, ...]]:
    """Return the shipped configs by name, the file's stem; usually one path each."""
    root = shipped_root()
    paths: dict[str, tuple[Path, ...]] = {}
    for path in sorted([*root.glob('configs/**/*.py'), *root.glob('projects/*/configs/**/*.py')]):
        if '_base_' not in path.parts:
            paths[path.stem] = (*paths.get(path.stem, ()), path)
    return paths


@cache
def data_paths() -> dict[str, Path]:
    """Return the shipped data sets by name, such as ``nyu``: configs without a model."""
    folder = shipped_root() / 'configs' / '_base_' / 'datasets'
    return {path.stem: path for path in sorted(folder.glob('*.py'))}


def find_paths(name: str) -> tuple[Path, ...]:
    """Return the paths of a config or data set of this name; none if there is no such name."""
    if name in config_paths():
        return config_paths()[name]
    return (data_paths()[name],) if name in data_paths() else ()


def similar_names(name: str) -> list[str]:
    """Return at most five names that contain a text, or else begin like it or resemble it.

    Args:
        name: Text or pattern; its wildcards do not count.
    """
    text = re.sub(r'[*?\[\]]', '', name).lower()
    names = [*config_paths(), *data_paths()]
    containing = [other for other in names if text in other.lower()]
    if containing or not text:
        return containing[:5] if text else []
    likeness = {}
    for other in names:
        # Most typing errors are in the first word, and names are much longer than it.
        beginning = other.lower()[: len(text)]
        likeness[other] = max(
            difflib.SequenceMatcher(None, text, candidate).ratio()
            for candidate in (other.lower(), beginning)
        )
    lowest = max(MIN_LIKENESS, max(likeness.values()) - 0.1)
    near = [other for other in names if likeness[other] >= lowest]
    return sorted(near, key=likeness.get, reverse=True)[:5]


def list_models(pattern: str = '*') -> list[str]:
    """Return the shipped configs that match a pattern such as ``'scale*nyu*'``, in any case."""
    return [name for name in sorted(config_paths()) if fnmatchcase(name.lower(), pattern.lower())]
