"""Identity of a training run and its record in the work dir, ``run.json``."""

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from depth.atomic_write import write_atomically

from .checkpoint import load_checkpoint_file
from .sharded_checkpoint import shards_folder

RUN_FILE = 'run.json'
_CHECKPOINT = re.compile(r'(iter|epoch)_(\d+)\.pth|best_.+\.pth')
# What `new_run_id` makes, and no more than one part of a path.
_RUN_ID = re.compile(r'[\w-]+')


@dataclass
class TrainingRun:
    """Identity of a training run and its record, ``run.json``.

    Args:
        work_dir: Folder that the run owns.
        id: Time of the first start and random characters; every checkpoint stores it in its meta.
        config: Name of the config file.
        sections: Digest of each top-level key of the config.
        host: Host of the first start.
        starts: Names of the log folders, one per start.
        checkpoints: Names of the checkpoints that this run wrote, directly in the work dir; no
            others are ever removed.
        adopted: Names of checkpoints without an id that the run was resumed from.
        continued_from: Checkpoint in another folder that the run was resumed from.
        writable: True in the main process only, which alone writes and removes files.
    """

    work_dir: Path
    id: str
    config: str = ''
    sections: dict[str, str] = field(default_factory=dict)
    host: str = ''
    starts: list[str] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    continued_from: str | None = None
    writable: bool = True

    @classmethod
    def read(cls, work_dir: str | Path) -> 'TrainingRun | None':
        """Return the run that owns a work dir; None if the folder has no record.

        Raises:
            ValueError: If the record is damaged.
        """
        path = Path(work_dir, RUN_FILE)
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
            fields = {name: content[name] for name in _FIELDS}
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
            raise ValueError(_damaged(path, error)) from error
        problem = _find_problem(fields)
        if problem:
            raise ValueError(_damaged(path, problem))
        return cls(work_dir=Path(work_dir), **fields)

    def write(self) -> None:
        """Write the record."""
        if self.writable:
            content = {name: getattr(self, name) for name in _FIELDS}
            write_atomically(self.work_dir / RUN_FILE, json.dumps(content, indent=2) + '\n')

    def add_checkpoint(self, name: str) -> None:
        """Record the name of a checkpoint, before the file is written."""
        if name not in self.checkpoints:
            self.checkpoints.append(name)
            self.write()

    def owns(self, name: str) -> bool:
        """Return whether the work dir has a regular file ``name`` that this run wrote."""
        if name not in self.checkpoints or Path(name).name != name:
            return False
        try:
            return stat.S_ISREG(os.lstat(self.work_dir / name).st_mode)
        except FileNotFoundError:
            return False

    def remove(self, name: str) -> bool:
        """Remove a checkpoint if it is a regular file of this run; return whether it was."""
        if not self.writable or not self.owns(name):
            return False
        (self.work_dir / name).unlink(missing_ok=True)
        folder = shards_folder(self.work_dir / name)
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
        self.checkpoints.remove(name)
        self.write()
        return True

    def belongs(self, path: Path) -> bool:
        """Return whether a checkpoint in the work dir is of this run, by its id or the record."""
        try:
            run_id = read_run_id(path)
        except (ValueError, OSError):  # damaged: find_latest_checkpoint() reports it
            return path.name in self.checkpoints or path.name in self.adopted
        return run_id == self.id if run_id is not None else path.name in self.adopted


_FIELDS = ('id', 'config', 'sections', 'host', 'starts', 'checkpoints', 'adopted', 'continued_from')


def _damaged(path: Path, problem: object) -> str:
    return (
        f'{path} is damaged ({problem}); delete it, the identity is then read from the checkpoints'
    )


def _find_problem(fields: dict[str, Any]) -> str | None:
    """Return what is wrong with the entries of a record, None if nothing is.

    Files of these names are moved and removed, so a path in place of a name would reach out of the
    work dir.
    """
    if not _is_run_id(fields['id']):
        return f'id is {fields["id"]!r}'
    if fields['config'] != '' and not _is_name(fields['config']):
        return f'config is {fields["config"]!r}, not the name of a file in the work dir'
    for key in ('starts', 'checkpoints', 'adopted'):
        if not isinstance(fields[key], list):
            return f'{key} is no list'
        for name in fields[key]:
            if not _is_name(name):
                return f'{key} names {name!r}, which does not lie in the work dir'
    for key, kind in (('sections', dict), ('host', str), ('continued_from', str | None)):
        if not isinstance(fields[key], kind):
            return f'{key} is {fields[key]!r}'
    return None


def _is_name(name: object) -> bool:
    """Return whether a value names a file or folder directly in the work dir."""
    return isinstance(name, str) and name not in ('', '.', '..') and Path(name).name == name


def _is_run_id(value: object) -> bool:
    return isinstance(value, str) and _RUN_ID.fullmatch(value) is not None


def checkpoint_files(work_dir: str | Path) -> list[Path]:
    """Return the checkpoints in a work dir, by their names."""
    return sorted(path for path in Path(work_dir).glob('*.pth') if _CHECKPOINT.fullmatch(path.name))


def read_run_id(path: Path) -> str | None:
    """Return the id of the run that wrote a checkpoint; None if the file has none that can be one.

    Raises:
        ValueError: If the file is damaged.
    """
    meta = read_unloaded(path).get('meta')
    run_id = meta.get('run_id') if isinstance(meta, dict) else None
    return run_id if _is_run_id(run_id) else None


def read_unloaded(path: Path) -> dict:
    """Read a checkpoint without loading its tensors into memory where the format allows it."""
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception:  # damaged, foreign or of an old format: load_checkpoint_file() decides
        checkpoint = load_checkpoint_file(path)
    return checkpoint if isinstance(checkpoint, dict) else {}


def section_digests(cfg: dict[str, Any]) -> dict[str, str]:
    """Return a short digest of each top-level key of a config."""
    digests = {}
    for key, value in cfg.items():
        text = json.dumps(value, sort_keys=True, default=str)
        digests[key] = hashlib.sha256(text.encode('utf-8')).hexdigest()[:12]
    return digests


def new_run_id() -> str:
    """Return the id of a new run: the time and random characters."""
    return f'{time.strftime("%Y%m%d_%H%M%S")}_{secrets.token_hex(3)}'
