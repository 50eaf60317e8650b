"""Set-up of loader processes: one thread each, and memory that is kept for the next sample."""

import os
import signal
import threading
from collections.abc import Callable

import cv2
import torch

from depth.freed_memory import keep_freed_memory

# Bytes that a loader process keeps. A pipeline allocates and frees arrays of some megabytes for
# every image: 1200 page faults for a KITTI frame, 1.5 to 2 of its 17 ms, if they are given back
# each time.
KEPT_MEMORY = 1 << 28


def prepare_worker(worker_id: int, then: Callable[[int], object] | None = None) -> None:
    """Set up a loader process.

    Args:
        worker_id: Number of the process.
        then: Called with that number at the end, for seeds.
    """
    # The workers are the threads; each would start as many of its own as there are cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_freed_memory(KEPT_MEMORY)
    if then is not None:
        then(worker_id)


def prepare_runner_worker(worker_id: int, then: Callable[[int], object] | None = None) -> None:
    """Set up a runner's loader process, which outlives signals to the job; arguments as above."""
    leave_signals_to_parent()
    prepare_worker(worker_id, then)


def leave_signals_to_parent() -> None:
    """Let the training process decide when this one ends.

    Ctrl-C and slurm signal all processes of a job. A loader process that died of it would end the
    training with an error before it has saved. SIGTERM of the parent itself, which ends its workers
    so, is obeyed; if the parent dies the worker loop ends on its own.
    """
    # SIGTERM stays blocked and is waited for by a thread, because a handler does not learn who sent
    # the signal.
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def obey_parent() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=obey_parent, name='signals', daemon=True).start()
