"""Identity of a training run, and the files of a work dir that belong to it.

``run.json`` in the work dir names the run that owns the folder: its id, which every checkpoint carries
in its meta, when, where and from which config it was started, and the checkpoints that it wrote. Only
those are ever removed. A run that finds the files of another one moves them into a sub-folder
``previous_<id>``, itself a complete work dir, and never reads or overwrites them.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from mmengine.logging import print_log

from .checkpoint import find_latest_checkpoint
from .training_run import RUN_FILE, TrainingRun, checkpoint_files, new_run_id, read_run_id, read_unloaded

_TEMPORARY = re.compile(r'\.(.+)\.\d+\.tmp')


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


def _read_resumable(source: str | Path) -> dict:
    """Return a checkpoint that a run can be resumed from.

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
                read_unloaded(path)
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
