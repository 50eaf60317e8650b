"""Peak memory: of the CUDA allocator, or of a fresh process on the CPU."""

import importlib
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from .settings import Setting, Spec

STATUS = Path('/proc/self/status')
REFS = Path('/proc/self/clear_refs')


def cuda_peak(case_step: Callable[[], object], resident: int) -> int:
    """Return the bytes that a case takes at most.

    Args:
        case_step: One repetition.
        resident: What it keeps between repetitions; others may live beside it.
    """
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    case_step()
    torch.cuda.synchronize()
    return resident + torch.cuda.max_memory_allocated() - before


def process_peak(module: str, spec: Spec, setting: Setting, steps: int) -> int | None:
    """Return the bytes that ``steps`` repetitions add at most to a fresh process in which the case is built.

    Args:
        module: Module of the mode, with ``build(spec, setting)``.
        spec: What is measured.
        setting: Which setting of it.
        steps: Repetitions; training needs two until all its state is there.

    Returns:
        None where the system does not say, or the process failed.
    """
    if not STATUS.exists():
        return None
    context = multiprocessing.get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    threads = torch.get_num_threads()
    child = context.Process(target=_measure, args=(module, spec, setting, steps, threads, sender))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return None
    finally:
        child.join()


def _measure(module: str, spec: Spec, setting: Setting, steps: int, threads: int, sender: Connection) -> None:
    torch.set_num_threads(threads)
    with setting.surroundings(spec.device):
        case = importlib.import_module(module).build(spec, setting)
        REFS.write_text('5')  # forget the peak of the time before
        before = _kilobytes('VmRSS')
        for _ in range(steps):
            case.step()
        sender.send((_kilobytes('VmHWM') - before) * 1024)


def _kilobytes(key: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f'{key}:'))
    return int(line.split()[1])


def count_synchronizations(step: Callable[[], object]) -> int:
    """Return how often one repetition makes the host wait for the CUDA device, as far as torch notices."""
    import warnings

    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchroniz' in str(warning.message) for warning in caught)
