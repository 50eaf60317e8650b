"""Identity of a training run, and the files of a work dir that belong to it.

``run.json`` in the work dir names the run that owns the folder: its id, which every checkpoint carries
in its meta, when, where and from which config it was started, and the checkpoints that it wrote. Only
those are ever removed. A run that finds the files of another one moves them into a sub-folder
``previous_<id>``, itself a complete work dir, and never reads or overwrites them.
"""

import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from depth.atomic_write import write_atomically

from .checkpoint import find_latest_checkpoint, load_checkpoint_file

RUN_FILE = 'run.json'
_CHECKPOINT = re.compile(r'(iter|epoch)_(\d+)\.pth|best_.+\.pth')
_TEMPORARY = re.compile(r'\.(.+)\.\d+\.tmp')


@dataclass
class TrainingRun:
    """Identity of a training run and its record, ``run.json``.

    Args:
        work_dir: Folder that the run owns.
        id: Time of the first start and random characters.
        config: Name of the config file.
        sections: Digest of each top-level key of the config.
        host: Host of the first start.
        starts: Names of the log folders, one a start.
        checkpoints: Names of the checkpoints that this run wrote, directly in the work dir.
        adopted: Names of checkpoints without an id that it continued; they are never removed.
        continued_from: Checkpoint of another folder that it was started from.
        writable: False in all processes but the main one, which alone writes and removes files.
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
        """Return the run that owns a work dir, None if the folder has no record.

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
            raise ValueError(
                f'{path} is damaged ({error}); delete it, the identity is then read from the checkpoints'
            ) from error
        return cls(work_dir=Path(work_dir), **fields)

    def write(self) -> None:
        """Write the record."""
        if self.writable:
            content = {name: getattr(self, name) for name in _FIELDS}
            write_atomically(self.work_dir / RUN_FILE, json.dumps(content, indent=2) + '\n')

    def add_checkpoint(self, name: str) -> None:
        """Record a checkpoint, before it is written, as one that this run may remove."""
        if name not in self.checkpoints:
            self.checkpoints.append(name)
            self.write()

    def owns(self, name: str) -> bool:
        """Return whether this run wrote the file ``name`` of its work dir, and it is there."""
        if name not in self.checkpoints or Path(name).name != name:
            return False
        try:
            return stat.S_ISREG(os.lstat(self.work_dir / name).st_mode)
        except FileNotFoundError:
            return False

    def remove(self, name: str) -> bool:
        """Remove a checkpoint; anything but a regular file that this run wrote is left alone."""
        if not self.writable or not self.owns(name):
            return False
        (self.work_dir / name).unlink(missing_ok=True)
        self.checkpoints.remove(name)
        self.write()
        return True

    def belongs(self, path: Path) -> bool:
        """Return whether a checkpoint in the work dir is this run's, by the id in the file or else the record."""
        try:
            run_id = read_run_id(path)
        except (ValueError, OSError):  # damaged; the search for the newest whole one says so
            return path.name in self.checkpoints or path.name in self.adopted
        return run_id == self.id if run_id is not None else path.name in self.adopted


_FIELDS = ('id', 'config', 'sections', 'host', 'starts', 'checkpoints', 'adopted', 'continued_from')


def open_run(start: TrainingRun, resume: bool, source: str | None) -> tuple[TrainingRun, str | None]:
    """Decide which run a start belongs to, and put the files of other runs aside.

    Args:
        start: This start as a run of its own, with one entry in ``starts``.
        resume: Whether a run is to be continued.
        source: Checkpoint to resume from or to load; None with ``resume`` takes the newest.

    Returns:
        The run, its record written, and the checkpoint to read, None for none.

    Raises:
        FileNotFoundError: If ``source`` does not exist.
        ValueError: If it belongs to another run of this work dir, or none of the run's checkpoints is whole.
    """
    work_dir = start.work_dir
    if not resume:
        moved = _move_run(work_dir)
        if source is not None and Path(source).resolve() in moved:
            source = str(moved[Path(source).resolve()])
        start.write()
        return start, source
    if source is not None and Path(source).resolve().parent != work_dir.resolve():
        _read_resumable(source)
        _move_run(work_dir)
        start.continued_from = str(Path(source).resolve())
        start.write()
        return start, source
    run = TrainingRun.read(work_dir) or _identify(start, source)
    if run is None:
        print_log(f'--resume auto: {work_dir} holds no checkpoint yet, starting from the beginning', 'current')
        start.write()
        return start, None
    named = source is not None
    source = _own_source(run, source)
    own = [path for path in checkpoint_files(work_dir) if run.belongs(path)]
    others = [path for path in checkpoint_files(work_dir) if path not in own]
    later = _written_after(own, source) if named else []
    _tell(run, start, source)
    if run.starts != start.starts:
        run.starts += start.starts
    run.config, run.sections = start.config, start.sections
    moved = [path.name for path in [*others, *later]]
    # Names without a file stay: a save of that name may have been killed half-way.
    names = sorted({*run.checkpoints, *(path.name for path in own)} - {*run.adopted, *moved})
    run.checkpoints = names
    run.write()
    _move(others, work_dir, 'previous_other_' + start.starts[-1], 'checkpoints of other runs')
    _move(later, work_dir, 'previous_' + run.id, f'checkpoints after {source}')
    return run, source


def remove_leftovers(run: TrainingRun) -> list[Path]:
    """Remove the temporary files that killed starts of this run left, and return their paths.

    Call it only while this process holds the lock of the work dir.
    """
    own = {RUN_FILE, 'last_checkpoint', run.config, *run.checkpoints}
    leftovers = []
    for path in sorted(run.work_dir.glob('.*.tmp')):
        name = _TEMPORARY.fullmatch(path.name)
        if name is not None and name[1] in own and path.is_file() and not path.is_symlink():
            leftovers.append(path)
    for name in run.starts:
        leftovers += [path for path in sorted((run.work_dir / name).glob('.*.tmp')) if _TEMPORARY.fullmatch(path.name)]
    for path in leftovers:
        path.unlink(missing_ok=True)
    if leftovers:
        print_log(f'removed what a killed save left behind: {", ".join(str(path) for path in leftovers)}', 'current')
    return leftovers


def checkpoint_files(work_dir: str | Path) -> list[Path]:
    """Return the files in a work dir that are named as checkpoints of a training."""
    return sorted(path for path in Path(work_dir).glob('*.pth') if _CHECKPOINT.fullmatch(path.name))


def read_run_id(path: Path) -> str | None:
    """Return the id of the run that wrote a checkpoint; None for files that have none.

    Raises:
        ValueError: If the file is damaged.
    """
    meta = _read_parts(path).get('meta')
    run_id = meta.get('run_id') if isinstance(meta, dict) else None
    return run_id if isinstance(run_id, str) else None


def check_resumable(checkpoint: dict, source: str | Path) -> None:
    """See that a checkpoint holds what a run is resumed from.

    Raises:
        ValueError: If it holds weights only, as best checkpoints do.
    """
    if 'optimizer' not in checkpoint:
        raise ValueError(
            f'{source} holds weights only and cannot be resumed from; resume from an iter_N.pth, or start a new '
            'run from these weights with --cfg-options load_from=...'
        )


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


def _read_parts(path: Path) -> dict:
    """Read a checkpoint with its tensors left on the disk where the format allows it."""
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception:  # damaged, foreign or of the old format; the reader tells which
        checkpoint = load_checkpoint_file(path)
    return checkpoint if isinstance(checkpoint, dict) else {}


def _read_resumable(source: str | Path) -> dict:
    """Return a checkpoint that a run can be resumed from.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds weights only, as best checkpoints do.
    """
    if not Path(source).is_file():
        raise FileNotFoundError(f'--resume: checkpoint {source} does not exist')
    checkpoint = _read_parts(Path(source))
    check_resumable(checkpoint, source)
    return checkpoint


def _identify(start: TrainingRun, source: str | None) -> TrainingRun | None:
    """Return the run of a folder without a record, from its checkpoints; None if there are none."""
    files = checkpoint_files(start.work_dir)
    if not files:
        if source is not None:
            _read_resumable(source)
        return None
    ids: dict[str | None, list[str]] = {}
    for path in files:
        try:
            ids.setdefault(read_run_id(path), []).append(path.name)
        except (ValueError, OSError) as error:
            print_log(str(error), 'current')
    wanted = None
    named = sorted(run_id for run_id in ids if run_id is not None)
    if source is not None:
        wanted = read_run_id(Path(source))
    elif len(named) == 1:
        wanted = named[0]
    elif len(named) > 1:
        raise ValueError(
            f'{start.work_dir} holds checkpoints of {len(named)} runs ({", ".join(named)}) and no {RUN_FILE} that says '
            'which one owns it; name the checkpoint: --resume FILE'
        )
    run = TrainingRun(start.work_dir, wanted or start.id, start.config, start.sections, start.host)
    if wanted is None:
        run.adopted = [path.name for path in files]
        print_log(f'{start.work_dir} is of a version without run ids; it becomes the run {run.id}', 'current')
    else:
        run.checkpoints = ids[wanted]
    return run


def _own_source(run: TrainingRun, source: str | None) -> str | None:
    """Return the checkpoint from which a run of this work dir goes on."""
    if source is not None:
        checkpoint = _read_resumable(source)
        run_id = (checkpoint.get('meta') or {}).get('run_id')
        if run_id not in (None, run.id):
            raise ValueError(
                f'{source} belongs to the run {run_id}, but {run.work_dir} to the run {run.id}; resume it with a '
                '--work-dir of its own'
            )
        if run_id is None and Path(source).name not in run.adopted:
            run.adopted.append(Path(source).name)
        return source
    own = [path for path in checkpoint_files(run.work_dir) if run.belongs(path)]
    numbered = [path for path in own if path.name.startswith('iter_')]
    latest = find_latest_checkpoint(run.work_dir, numbered)
    return run.continued_from if latest is None else str(latest)


def _written_after(own: Iterable[Path], source: str | None) -> list[Path]:
    """Return the readable checkpoints of later iterations, which a step back leaves behind."""
    if source is None:
        return []
    current = _iteration(Path(source))
    later = []
    for path in own:
        iteration = _iteration(path)
        if current is not None and iteration is not None and iteration > current:
            try:
                _read_parts(path)
            except ValueError:
                continue  # damaged: the run writes this one anew
            later.append(path)
    return later


def _iteration(path: Path) -> int | None:
    number = re.search(r'iter_(\d+)\.pth$', path.name)
    return int(number[1]) if number else None


def _tell(run: TrainingRun, start: TrainingRun, source: str | None) -> None:
    count = f'start {len(run.starts) + 1}'
    print_log(
        f'continuing the run {run.id} ({count}, config {run.config or start.config}) '
        f'from {source or "the beginning: it has no checkpoint yet"}',
        'current',
    )
    changed = sorted(key for key in run.sections.keys() & start.sections if run.sections[key] != start.sections[key])
    changed += sorted(run.sections.keys() ^ start.sections.keys())
    changed = [key for key in changed if key not in ('resume', 'load_from', 'work_dir', 'launcher')]
    if changed:
        print_log(f'its config has changed since: {", ".join(changed)}', 'current', 30)


def _move_run(work_dir: Path) -> dict[Path, Path]:
    """Move what a run left in its work dir into ``previous_<id>``; return old and new places of its files."""
    run = TrainingRun.read(work_dir)
    if run is not None:
        remove_leftovers(run)
    files = checkpoint_files(work_dir)
    if not files:
        return {}
    last = [path for path in [work_dir / 'last_checkpoint'] if path.is_file()]
    if run is None:
        return _move([*files, *last], work_dir, 'previous_' + new_run_id(), 'the checkpoints of an earlier run')
    logs = [work_dir / name for name in run.starts if (work_dir / name).is_dir()]
    config = [path for path in [work_dir / run.config] if run.config and path.is_file()]
    # The record goes last: killed in between, the next start moves the rest to the same place.
    files = [*files, *last, *logs, *config, work_dir / RUN_FILE]
    return _move(files, work_dir, 'previous_' + run.id, f'the earlier run {run.id}')


def _move(paths: Iterable[Path], work_dir: Path, folder: str, content: str) -> dict[Path, Path]:
    """Move files into a sub-folder of the work dir, with a word; nothing is ever overwritten."""
    paths = list(paths)
    if not paths:
        return {}
    target, number = work_dir / folder, 1
    while any(os.path.lexists(target / path.name) for path in paths):
        number += 1
        target = work_dir / f'{folder}_{number}'
    target.mkdir(exist_ok=True)
    moved = {}
    for path in paths:
        moved[path.resolve()] = target / path.name
        path.rename(target / path.name)
    print_log(
        f'{work_dir} holds {content}; moved to {target}: {", ".join(path.name for path in paths)}. '
        f'It can be continued there: --work-dir {target} --resume auto',
        'current',
        30,
    )
    return moved
