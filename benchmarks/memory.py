"""Peak memory, of the CUDA allocator or of a process, and synchronisations with the device."""

import importlib
import multiprocessing
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from .settings import Setting, Spec

STATUS = Path('/proc/self/status')
REFS = Path('/proc/self/clear_refs')


def cuda_peak(case_step: Callable[[], object], resident: int) -> int:
    """Return the peak memory of a case on the CUDA device, in bytes.

    Args:
        case_step: One repetition.
        resident: Bytes that the case holds between repetitions; other cases may hold memory too.
    """
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    case_step()
    torch.cuda.synchronize()
    return resident + torch.cuda.max_memory_allocated() - before


def process_peak(module: str, spec: Spec, setting: Setting, steps: int) -> int | None:
    """Return the bytes by which ``steps`` repetitions raise the peak of a new process.

    The case is built in that process.

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


def _measure(
    module: str,
    spec: Spec,
    setting: Setting,
    steps: int,
    threads: int,
    sender: Connection,
) -> None:
    """Build a case, run it, and send the growth of the process's peak memory in bytes."""
    torch.set_num_threads(threads)
    with setting.surroundings(spec.device):
        case = importlib.import_module(module).build(spec, setting)
        # 5 resets the peak (VmHWM), which would otherwise include the building of the case.
        REFS.write_text('5')
        before = _kilobytes('VmRSS')
        for _ in range(steps):
            case.step()
        sender.send((_kilobytes('VmHWM') - before) * 1024)


def _kilobytes(key: str) -> int:
    """Return a value of this process's status, such as its resident memory (VmRSS)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f'{key}:'))
    return int(line.split()[1])


def count_synchronizations(step: Callable[[], object]) -> int:
    """Count how often one repetition makes the host wait for the CUDA device, as torch reports."""
    import warnings

    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchroniz' in str(warning.message) for warning in caught)


def profile_kernels(step: Callable[[], object], most: int = 10) -> tuple[int, list[dict]]:
    """Return how many kernels one repetition launches on CUDA, and those that take most time.

    Each is ``name``, ``calls`` and ``ms`` in all.
    """
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize()
    calls, seconds = Counter(), Counter()
    for event in profiler.events():
        is_kernel = event.device_type == torch.autograd.DeviceType.CUDA
        if is_kernel and not event.is_user_annotation:
            calls[event.name] += 1
            seconds[event.name] += event.time_range.elapsed_us() / 1e6
    longest = []
    for name, spent in seconds.most_common(most):
        longest.append(dict(name=name[:120], calls=calls[name], ms=spent * 1e3))
    return calls.total(), longest
