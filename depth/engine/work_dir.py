"""Files of a work dir: selection of the run and the checkpoint of a start, and old files put aside.

``run.json`` in the work dir names the run that owns the folder (:class:`TrainingRun`). A start that
finds the files of another run moves them into a sub-folder ``previous_<id>``, itself a complete
work dir, and never reads or overwrites them.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from mmengine.logging import print_log

from depth.visualization.visualizer import TENSORBOARD_FOLDER

from .checkpoint import find_latest_checkpoint
from .sharded_checkpoint import shards_folder
from .training_run import (
    RUN_FILE,
    TrainingRun,
    checkpoint_files,
    new_run_id,
    read_run_id,
    read_unloaded,
)

_TEMPORARY = re.compile(r'\.(.+)\.\d+\.tmp')


def open_run(
    start: TrainingRun, resume: bool, source: str | None
) -> tuple[TrainingRun, str | None]:
    """Select the run that a start belongs to, and move the files of other runs aside.

    Args:
        start: Record of this start as a new run, with one entry in ``starts``.
        resume: Whether a run is to be continued.
        source: Checkpoint to resume from or to load; None with ``resume`` takes the newest.

    Returns:
        The run, whose record is written, and the checkpoint to read or None.

    Raises:
        FileNotFoundError: If ``source`` does not exist.
        ValueError: If ``source`` belongs to another run of this work dir, or all checkpoints of the
            run are damaged.
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
        print_log(
            f'--resume auto: {work_dir} holds no checkpoint yet, starting from the beginning',
            'current',
        )
        start.write()
        return start, None
    is_named = source is not None
    source = _source_of_run(run, source)
    own_files, foreign_files = [], []
    for path in checkpoint_files(work_dir):
        files = own_files if run.belongs(path) else foreign_files
        files.append(path)
    # A run that is resumed from an earlier checkpoint writes the later ones anew.
    later_files = _written_after(own_files, source) if is_named else []
    _log_continuation(run, start, source)
    if run.starts != start.starts:
        run.starts += start.starts
    run.config, run.sections = start.config, start.sections
    # Recorded names without a file stay: a save of that name may have been killed half-way.
    names = set(run.checkpoints) | {path.name for path in own_files}
    names -= set(run.adopted)
    names -= {path.name for path in foreign_files + later_files}
    run.checkpoints = sorted(names)
    run.write()
    _move(
        foreign_files, work_dir, 'previous_other_' + start.starts[-1], 'checkpoints of other runs'
    )
    _move(later_files, work_dir, 'previous_' + run.id, f'checkpoints after {source}')
    return run, source


def remove_leftovers(run: TrainingRun) -> list[Path]:
    """Remove what killed saves of this run left behind, and return the paths.

    That is temporary files, and folders of sharded checkpoints whose head was not written: without
    it there is no checkpoint. Call it only while this process holds the lock of the work dir.
    """
    own_names = {RUN_FILE, 'last_checkpoint', run.config, *run.checkpoints}
    leftovers = []
    for path in sorted(run.work_dir.glob('.*.tmp')):
        name = _TEMPORARY.fullmatch(path.name)
        if name is not None and name[1] in own_names and path.is_file() and not path.is_symlink():
            leftovers.append(path)
    for name in run.starts:
        folder = run.work_dir / name
        # A link may lead to a folder of somebody else.
        if folder.is_symlink():
            continue
        for path in sorted(folder.glob('.*.tmp')):
            if _TEMPORARY.fullmatch(path.name):
                leftovers.append(path)
    for path in leftovers:
        path.unlink(missing_ok=True)
    for name in run.checkpoints:
        folder = shards_folder(run.work_dir / name)
        if folder.is_dir() and not folder.is_symlink() and not (run.work_dir / name).exists():
            shutil.rmtree(folder)
            leftovers.append(folder)
    if leftovers:
        print_log(
            f'removed what a killed save left behind: {", ".join(str(path) for path in leftovers)}',
            'current',
        )
    return leftovers


def check_resumable(checkpoint: dict, source: str | Path) -> None:
    """Check that a run can be resumed from a checkpoint.

    Raises:
        ValueError: If it holds weights only, as best checkpoints do.
    """
    if 'optimizer' not in checkpoint:
        raise ValueError(
            f'{source} holds weights only and cannot be resumed from; resume from an iter_N.pth, '
            'or start a new run from these weights with --cfg-options load_from=...'
        )


def _read_resumable(source: str | Path) -> dict:
    """Read a checkpoint and check that a run can be resumed from it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds weights only, as best checkpoints do.
    """
    if not Path(source).is_file():
        raise FileNotFoundError(f'--resume: checkpoint {source} does not exist')
    checkpoint = read_unloaded(Path(source))
    check_resumable(checkpoint, source)
    return checkpoint


def _identify(start: TrainingRun, source: str | None) -> TrainingRun | None:
    """Return the run of a folder without a record, from its checkpoints; None if it has none."""
    files = checkpoint_files(start.work_dir)
    if not files:
        if source is not None:
            _read_resumable(source)
        return None
    names_of_run: dict[str | None, list[str]] = {}
    for path in files:
        try:
            names_of_run.setdefault(read_run_id(path), []).append(path.name)
        except (ValueError, OSError) as error:
            print_log(str(error), 'current')
    run_id = None
    run_ids = sorted(key for key in names_of_run if key is not None)
    if source is not None:
        run_id = read_run_id(Path(source))
    elif len(run_ids) == 1:
        run_id = run_ids[0]
    elif len(run_ids) > 1:
        raise ValueError(
            f'{start.work_dir} holds checkpoints of {len(run_ids)} runs ({", ".join(run_ids)}) and '
            f'no {RUN_FILE} that says which one owns it; name the checkpoint: --resume FILE'
        )
    run = TrainingRun(start.work_dir, run_id or start.id, start.config, start.sections, start.host)
    if run_id is None:
        run.adopted = [path.name for path in files]
        print_log(
            f'{start.work_dir} is of a version without run ids; it becomes the run {run.id}',
            'current',
        )
    else:
        run.checkpoints = names_of_run[run_id]
    return run


def _source_of_run(run: TrainingRun, source: str | None) -> str | None:
    """Return the checkpoint that a run of this work dir continues from, the newest by default."""
    if source is not None:
        checkpoint = _read_resumable(source)
        run_id = (checkpoint.get('meta') or {}).get('run_id')
        if run_id not in (None, run.id):
            raise ValueError(
                f'{source} belongs to the run {run_id}, but {run.work_dir} to the run {run.id}; '
                'resume it with a --work-dir of its own'
            )
        if run_id is None and Path(source).name not in run.adopted:
            run.adopted.append(Path(source).name)
        return source
    own = [path for path in checkpoint_files(run.work_dir) if run.belongs(path)]
    numbered = [path for path in own if path.name.startswith('iter_')]
    latest = find_latest_checkpoint(run.work_dir, numbered)
    return run.continued_from if latest is None else str(latest)


def _written_after(own: Iterable[Path], source: str | None) -> list[Path]:
    """Return the readable checkpoints of later iterations than that of ``source``."""
    if source is None:
        return []
    current = _iteration(Path(source))
    later = []
    for path in own:
        iteration = _iteration(path)
        if current is not None and iteration is not None and iteration > current:
            try:
                read_unloaded(path)
            except ValueError:
                continue  # damaged: the run will overwrite it
            later.append(path)
    return later


def _iteration(path: Path) -> int | None:
    number = re.search(r'iter_(\d+)\.pth$', path.name)
    return int(number[1]) if number else None


def _log_continuation(run: TrainingRun, start: TrainingRun, source: str | None) -> None:
    """Log the run that is continued and the keys of its config that have changed."""
    count = f'start {len(run.starts) + 1}'
    print_log(
        f'continuing the run {run.id} ({count}, config {run.config or start.config}) '
        f'from {source or "the beginning: it has no checkpoint yet"}',
        'current',
    )
    changed = []
    for key in sorted(run.sections.keys() | start.sections.keys()):
        is_launch_option = key in ('resume', 'load_from', 'work_dir', 'launcher')
        if not is_launch_option and run.sections.get(key) != start.sections.get(key):
            changed.append(key)
    if changed:
        print_log(f'its config has changed since: {", ".join(changed)}', 'current', 30)


def _move_run(work_dir: Path) -> dict[Path, Path]:
    """Move the files of the work dir's run into ``previous_<id>``; return new paths by old."""
    run = TrainingRun.read(work_dir)
    if run is not None:
        remove_leftovers(run)
    files = checkpoint_files(work_dir)
    if not files:
        return {}
    if (work_dir / 'last_checkpoint').is_file():
        files.append(work_dir / 'last_checkpoint')
    if run is None:
        return _move(
            files, work_dir, 'previous_' + new_run_id(), 'the checkpoints of an earlier run'
        )
    files += [work_dir / name for name in run.starts if (work_dir / name).is_dir()]
    if run.config and (work_dir / run.config).is_file():
        files.append(work_dir / run.config)
    # Curves of another run would go on in it.
    if (work_dir / TENSORBOARD_FOLDER).is_dir():
        files.append(work_dir / TENSORBOARD_FOLDER)
    # The record is moved last: if the process is killed in between, the next start moves the
    # remaining files to the same folder.
    files.append(work_dir / RUN_FILE)
    return _move(files, work_dir, 'previous_' + run.id, f'the earlier run {run.id}')


def _move(paths: Iterable[Path], work_dir: Path, folder: str, content: str) -> dict[Path, Path]:
    """Move files into a new sub-folder of the work dir and log it; no file is overwritten."""
    paths = list(paths)
    if not paths:
        return {}
    for path in list(paths):
        if path.suffix == '.pth' and shards_folder(path).is_dir():
            paths.append(shards_folder(path))
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
