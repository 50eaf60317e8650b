"""Check of a config's files: assignments that would change nothing are refused with their line."""

import ast
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from .config_references import CONFIG_KEYS, explain_unread, referenced_names
from .errors import ConfigError


class SourceFile(NamedTuple):
    """One file of a config.

    Attributes:
        path: Absolute path.
        code: Syntax tree.
        has_bases: Whether it inherits from other files.
    """

    path: Path
    code: ast.Module
    has_bases: bool


def read_sources(path: Path, heirs: Sequence[Path] = ()) -> list[SourceFile]:
    """Return a config file and all its bases, each behind its heirs.

    Args:
        path: The file.
        heirs: Files that inherit from it, the config first.

    Raises:
        ConfigError: If a file is its own base.
    """
    path = path.resolve()
    lineage = list(heirs)
    lineage.append(path)
    if path in heirs:
        circle = lineage[lineage.index(path) :]
        raise ConfigError(
            f'_base_ is a circle: {" -> ".join(map(str, circle))}; take one of them out'
        )
    try:
        code = ast.parse(path.read_text(encoding='utf-8'))
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
        # mmengine reads the file next and raises the error.
        return []
    bases = _named_bases(code)
    files = [SourceFile(path, code, bool(bases))]
    for base in bases:
        files += read_sources(path.parent / base, lineage)
    return files


def _named_bases(code: ast.Module) -> list[str]:
    """Return the Python files in ``_base_`` of a config's syntax tree."""
    for statement in code.body:
        if isinstance(statement, ast.Assign) and '_base_' in _assigned_names(statement):
            try:
                bases = ast.literal_eval(statement.value)
            except ValueError:
                # A computed list, which only mmengine can evaluate.
                return []
            if isinstance(bases, str):
                bases = [bases]
            return [base for base in bases if isinstance(base, str) and base.endswith('.py')]
    return []


def check_assignments(cfg: Config, files: Sequence[SourceFile]) -> None:
    """Refuse an assignment that replaces an inherited variable but has no effect.

    A variable has an effect if Python code of its own file reads it or a value of the config refers
    to it; that of a base has one, too, if it has in the base alone. A variable that no base has is
    the user's own and accepted, unless its name is almost that of a variable with an effect.

    Raises:
        ConfigError: If there is one; it names file, line and the keys to set.
    """
    referenced = referenced_names(cfg)
    for index, file in enumerate(files):
        if not file.has_bases:
            continue
        # Bases follow their heirs in the list.
        inherited = _all_names(files[index + 1 :])
        effective = CONFIG_KEYS | referenced | _read_names(file.code)
        for statement in file.code.body:
            for name in _assigned_names(statement):
                if name.startswith('_') or name in effective:
                    continue
                assignment = f'{file.path}, line {statement.lineno}: {name} = ...'
                if name in inherited:
                    # An heir may replace the values that refer to it.
                    if index and name in _names_referenced_in(file.path):
                        continue
                    raise ConfigError(f'{assignment}: {explain_unread(cfg, name)}')
                near = difflib.get_close_matches(name, referenced, n=1, cutoff=0.85)
                if near:
                    raise ConfigError(f'{assignment}: did you mean {near[0]}?')


def _names_referenced_in(path: Path) -> set[str]:
    """Return the variables to which the values of a config refer, read without its heirs."""
    return referenced_names(Config.fromfile(str(path), import_custom_modules=False))


def _read_names(code: ast.Module) -> set[str]:
    """Return the variables that the code of a file reads."""
    names = set()
    for node in ast.walk(code):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
    return names


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


def _all_names(files: Sequence[SourceFile]) -> set[str]:
    """Return the variables that any of the files assigns."""
    names: set[str] = set()
    for file in files:
        for statement in file.code.body:
            names.update(_assigned_names(statement))
    return names
