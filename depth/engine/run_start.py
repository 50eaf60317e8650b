"""Start of a training in its work dir: the run that it belongs to and the checkpoint that it reads.

The main process decides, under the lock of the work dir, and sends the result, or its error, to the
others.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import broadcast_object_list

from .training_run import TrainingRun, new_run_id, section_digests
from .work_dir import open_run, remove_leftovers
from .work_dir_lock import WorkDirLock


@dataclass(frozen=True)
class RunStart:
    """What a start of a training belongs to and begins with.

    Attributes:
        run: The run; only the main process may write its files.
        load_from: Checkpoint that is read, None if there is none.
        resume: Whether the run continues from ``load_from``; otherwise these are weights to start
            from.
    """

    run: TrainingRun
    load_from: str | None
    resume: bool


def new_run(cfg: Config, work_dir: str | Path, timestamp: str) -> TrainingRun:
    """Return the record of a start as a new run.

    Args:
        cfg: Config of the training.
        work_dir: Folder of the run.
        timestamp: Of this start, which names its log folder.
    """
    return TrainingRun(
        work_dir=Path(work_dir),
        id=new_run_id(),
        config=Path(cfg.filename or f'{timestamp}.py').name,
        sections=section_digests(cfg.to_dict()),
        host=socket.gethostname(),
        starts=[timestamp],
    )


def open_work_dir(
    start: TrainingRun, resume: bool | str, load_from: str | None, lock: WorkDirLock | None
) -> RunStart:
    """Lock the work dir and decide which run a start belongs to; all processes call it.

    Args:
        start: From :func:`new_run`.
        resume: Whether a run is continued; ``'auto'``: from the newest checkpoint if there is one.
        load_from: Checkpoint to resume from, or weights to start from. With ``'auto'`` these are
            for the first start of a run, and every later start finds its own checkpoints.
        lock: Of the main process; None in the others.

    Raises:
        WorkDirInUseError: If another training holds the work dir.
        OSError, ValueError: See :func:`~depth.engine.work_dir.open_run`.
        RuntimeError: If the main process raises one of these; in the other processes.
    """
    source = None if resume == 'auto' else load_from
    outcome: list = [None]
    error: Exception | None = None
    if lock is not None:
        try:
            lock.acquire()
            outcome = [open_run(start, bool(resume), source)]
            remove_leftovers(outcome[0][0])
        except (OSError, ValueError) as caught:
            error = caught
            outcome = [str(caught)]
    broadcast_object_list(outcome)
    if error is not None:
        raise error
    if isinstance(outcome[0], str):
        raise RuntimeError(outcome[0])
    run, source = outcome[0]
    run.writable = lock is not None
    is_resumed = bool(resume) and source is not None
    if resume == 'auto' and not is_resumed:
        source = load_from
    return RunStart(run, source, is_resumed)
