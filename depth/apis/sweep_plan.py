"""Plan of a sweep: settings from a grid or a list, one run for each setting and seed."""

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import FunctionType
from typing import Any

from mmengine.config import Config, DictAction

from depth.atomic_write import write_atomically
from depth.engine.config import load_config
from depth.engine.config_values import evaluator_directions
from depth.engine.errors import ConfigError

MANIFEST = 'sweep_run.json'
NO_OVERRIDES = 'as_config'
# Of the name of a folder; file systems allow 255 bytes.
_MAX_NAME = 100
_SAFE = re.compile(r'[^A-Za-z0-9._=+-]+')
# Set by the sweep itself.
_OWN_KEYS = {'randomness.seed': '--seeds', 'work_dir': '--work-dir', 'resume': 'the sweep'}


@dataclass(frozen=True)
class SweepRun:
    """Training and test of one setting with one seed.

    Attributes:
        config: Path or name of the config.
        overrides: Values of the config, as ``key=value``.
        seed: Random seed of the training.
        folder: Work dir of the training; it has the manifest.
        digests: Digest of each top-level value of the config with its overrides.
    """

    config: str
    overrides: tuple[str, ...]
    seed: int
    folder: Path
    digests: dict[str, str] = field(repr=False)

    @property
    def setting(self) -> str:
        """Overrides as one line."""
        return shlex.join(self.overrides) or 'as the config'

    def read_manifest(self) -> dict:
        """Return the manifest; an empty dict if the run was never started.

        A run of another config that failed before its first checkpoint counts as never started, so
        that a config can be repaired.

        Raises:
            ConfigError: If it belongs to a run of another config, overrides or seed.
            ValueError: If the file is damaged.
        """
        path = self.folder / MANIFEST
        if not path.is_file():
            return {}
        try:
            manifest = json.loads(path.read_text(encoding='utf-8'))
            digests = manifest['digests']
            identity = (tuple(manifest['overrides']), manifest['seed'])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{path} is damaged ({type(error).__name__}: {error}); move {self.folder} away to '
                'repeat the run'
            ) from error
        differences = []
        for key in sorted(digests.keys() | self.digests.keys()):
            if digests.get(key) != self.digests.get(key):
                differences.append(key)
        if identity != (self.overrides, self.seed):
            differences.append(f'overrides or seed ({identity} there)')
        if differences and not any(self.folder.glob('iter_*.pth')):
            return {}
        if differences:
            raise ConfigError(
                f'{self.folder} holds a run of another config: {", ".join(differences)} differ; '
                'give another --work-dir, or move that folder away'
            )
        return manifest

    def write_manifest(self, **values: Any) -> None:
        """Write what identifies the run, and its state."""
        content = dict(
            config=self.config,
            overrides=self.overrides,
            seed=self.seed,
            digests=self.digests,
            **values,
        )
        write_atomically(self.folder / MANIFEST, json.dumps(content, indent=2) + '\n')


@dataclass(frozen=True)
class SweepPlan:
    """Runs of a sweep in their order, the seeds of one setting side by side.

    Attributes:
        config: Path or name of the config.
        work_dir: Folder of the run folders and of the table.
        settings: Overrides of each setting.
        seeds: Seeds of every setting.
        runs: One run for each setting and seed.
        directions: Whether higher is better, by metric; None if the evaluator cannot tell.
    """

    config: str
    work_dir: Path
    settings: tuple[tuple[str, ...], ...]
    seeds: tuple[int, ...]
    runs: tuple[SweepRun, ...]
    directions: dict[str, bool] | None


def plan_sweep(
    config: str | Path,
    settings: Sequence[Sequence[str]],
    seeds: Sequence[int],
    work_dir: str | Path,
) -> SweepPlan:
    """Return the runs of a sweep, after a check that every setting fits the config.

    Args:
        config: Path or name of the config.
        settings: Overrides of each setting, as ``key=value``.
        seeds: Seeds of every setting.
        work_dir: Folder of the sweep.

    Raises:
        ConfigError: If a setting does not fit the config, or a folder holds another run.
        ValueError: If settings or seeds repeat, or an override belongs to the sweep.
    """
    if not settings or not seeds:
        raise ValueError('a sweep needs at least one setting and one seed')
    if len(set(seeds)) < len(seeds):
        raise ValueError(f'--seeds {" ".join(map(str, seeds))}: a seed occurs twice')
    runs: list[SweepRun] = []
    settings_by_name: dict[str, tuple[str, ...]] = {}
    directions = None
    for setting in map(tuple, settings):
        name = setting_name(setting)
        # Some file systems take names that differ in case alone for the same.
        if name.casefold() in settings_by_name:
            earlier = settings_by_name[name.casefold()]
            raise ValueError(
                f'the settings {shlex.join(earlier)!r} and {shlex.join(setting)!r} would share the '
                f'folder {name}; leave one out'
            )
        settings_by_name[name.casefold()] = setting
        cfg = load_config(config, parse_overrides(setting))
        if cfg.get('test_dataloader') is None:
            raise ConfigError(f'{config} has no test_dataloader, so a sweep has nothing to compare')
        if directions is None:
            directions = evaluator_directions(cfg, 'test_evaluator')
        digests = config_digests(cfg)
        for seed in seeds:
            folder = Path(work_dir, f'{name}_seed{seed}')
            runs.append(SweepRun(str(config), setting, seed, folder, digests))
    for run in runs:
        run.read_manifest()
    return SweepPlan(
        str(config),
        Path(work_dir),
        tuple(settings_by_name.values()),
        tuple(seeds),
        tuple(runs),
        directions,
    )


def expand_grid(items: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every combination of ``key=a,b`` items, the last item changing fastest.

    Raises:
        ValueError: If an item has no key or an empty value, or a key occurs twice.
    """
    keys: list[str] = []
    choices: list[list[str]] = []
    for item in items:
        key, separator, text = item.partition('=')
        values = split_values(text)
        if not key or not separator or '' in values:
            raise ValueError(f'--grid takes KEY=VALUE,VALUE,..., got {item!r}')
        if key in keys:
            raise ValueError(f'--grid: {key} occurs twice; give all its values in one item')
        keys.append(key)
        choices.append([f'{key}={value}' for value in values])
    return list(product(*choices)) if items else []


def split_values(text: str) -> list[str]:
    """Split a text at its commas outside brackets and quotation marks."""
    values, depth, quote, start = [], 0, '', 0
    for index, character in enumerate(text):
        if quote:
            quote = '' if character == quote else quote
        elif character in '\'"':
            quote = character
        elif character in '([{':
            depth += 1
        elif character in ')]}':
            depth -= 1
        elif character == ',' and depth == 0:
            values.append(text[start:index])
            start = index + 1
    values.append(text[start:])
    return [value.strip() for value in values]


def read_settings(path: str | Path) -> list[tuple[str, ...]]:
    """Read a file with the overrides of one setting a line; ``#`` starts a comment.

    Raises:
        ValueError: If a line has a word that is not ``key=value``, or the file has no setting.
        OSError: If the file cannot be read.
    """
    settings = []
    for number, line in enumerate(Path(path).read_text(encoding='utf-8').splitlines(), start=1):
        try:
            setting = tuple(shlex.split(line, comments=True))
            parse_overrides(setting)
        except ValueError as error:
            raise ValueError(f'{path}, line {number}: {error}') from error
        if setting:
            settings.append(setting)
    if not settings:
        raise ValueError(f'{path} has no setting; each line is KEY=VALUE KEY=VALUE ...')
    return settings


def write_settings(path: str | Path, settings: Sequence[Sequence[str]]) -> None:
    """Write the file that :func:`read_settings` reads."""
    write_atomically(path, ''.join(f'{shlex.join(setting)}\n' for setting in settings))


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return config values by dotted key, as ``--cfg-options`` gives them.

    Raises:
        ValueError: If an item is not ``key=value``, a key occurs twice, or the sweep sets it.
    """
    options: dict[str, Any] = {}
    for item in overrides:
        key, separator, value = item.partition('=')
        if not separator or not key:
            raise ValueError(f'an override is KEY=VALUE, got {item!r}')
        if key in _OWN_KEYS:
            raise ValueError(f'override {item!r}: {key} is set by {_OWN_KEYS[key]}')
        if key in options:
            raise ValueError(f'override {item!r}: {key} has a value already in the same setting')
        options[key] = DictAction._parse_iterable(value)
    return options


def setting_name(overrides: Sequence[str]) -> str:
    """Return a folder name for overrides, safe on any file system.

    A digest is added where the text was shortened or has other characters than ``A-Za-z0-9._=+-``,
    so that different overrides never get the same name.
    """
    text = '__'.join(overrides) or NO_OVERRIDES
    name = _SAFE.sub('-', text)
    if name == text and len(name) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f'{name[: _MAX_NAME - 9]}_{digest}'


def config_digests(cfg: Config) -> dict[str, str]:
    """Return a digest of each top-level value of a config."""
    digests = {}
    for key, value in sorted(cfg.to_dict().items()):
        text = json.dumps(value, sort_keys=True, default=_stable_text)
        digests[key] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return digests


def _stable_text(value: object) -> str:
    """Return a text for a value that JSON lacks; that of a function would have its address."""
    if isinstance(value, type | FunctionType):
        return f'{value.__module__}.{value.__qualname__}'
    return repr(value)
