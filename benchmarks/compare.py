"""Comparison of settings in one mode: times, peak memory and synchronisations, a row each."""

import importlib
import time
from collections.abc import Callable, Sequence

import torch

from .memory import count_synchronizations, cuda_peak, process_peak, profile_kernels
from .settings import Setting, Spec
from .timing import (
    Case,
    interleave,
    paired_ratio,
    summary,
)

CUDA_STEPS = 5  # of one repetition, so that the launch of the first one does not count


def compare(
    module: str,
    spec: Spec,
    settings: Sequence[Setting],
    repeats: int,
    memory: bool = True,
    progress: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.perf_counter,
    warmup: int = 2,
) -> dict:
    """Measure settings of a mode in turn.

    Args:
        module: Module of the mode; its ``build(spec, setting)`` returns a :class:`Case`.
        spec: What is measured.
        settings: What is compared; ratios are to the first.
        repeats: Rounds.
        memory: Measure peak memory too; on the CPU this starts a process per setting.
        progress: Called with a line of text before each step.
        clock: See :func:`~benchmarks.timing.interleave`.
        warmup: Repetitions of each setting before its memory and times are read.

    Returns:
        ``rows``, one a setting, and ``ratios`` of every other setting to the first; on CUDA also
        ``kernels``: the ten that take most time of a step of each setting.
    """
    cases, resident = [], []
    for setting in settings:
        progress(f'building {setting.name}')
        before = _allocated(spec.device)
        with setting.surroundings(spec.device):
            case = importlib.import_module(module).build(spec, setting)
        # The default argument binds this round's setting; a closure would see the last one.
        case.context = lambda setting=setting: setting.surroundings(spec.device)
        interleave([case], 0, spec.device, warmup=warmup, progress=progress)
        cases.append(case)
        resident.append(_allocated(spec.device) - before)
    steps = CUDA_STEPS if spec.device.startswith('cuda') else 1
    times = interleave(cases, repeats, spec.device, steps=steps, progress=progress, clock=clock)
    kernels, notes = {}, []
    rows = [summary(case, seconds) for case, seconds in zip(cases, times, strict=True)]
    for case, setting, row, resident_bytes in zip(cases, settings, rows, resident, strict=True):
        with case.context():
            if spec.device.startswith('cuda'):
                columns, kernels[setting.name] = cuda_columns(case, resident_bytes, notes)
                row.update(columns)
            else:
                row.update(case.details())
        if memory and not spec.device.startswith('cuda'):
            progress(f'memory of {setting.name} in a fresh process')
            steps = getattr(importlib.import_module(module), 'MEMORY_STEPS', 1)
            peak = process_peak(module, spec, setting, steps)
            row['extra_memory_mb'] = None if peak is None else peak / 1e6
    result = dict(rows=rows, ratios=ratios(cases, times, rows))
    if notes:
        result['notes'] = notes
    return result | dict(kernels=kernels) if kernels else result


def cuda_columns(case: Case, resident: int, notes: list[str]) -> tuple[dict, list[dict]]:
    """Return the columns of a row beside its times on CUDA, and its longest kernels.

    A figure that cannot be read here is left out: the times, perhaps of the only hour with a GPU,
    stay.

    Args:
        case: What was timed.
        resident: Bytes that it holds between repetitions.
        notes: Gets a sentence for each figure that is left out.
    """
    kernels: list[dict] = []

    def count_launches() -> dict:
        launches, longest = profile_kernels(case.step)
        kernels.extend(longest)
        return dict(launches=launches)

    columns = {}
    for name, read in (
        ('peak_memory_mb', lambda: dict(peak_memory_mb=cuda_peak(case.step, resident) / 1e6)),
        ('synchronizations', lambda: dict(synchronizations=count_synchronizations(case.step))),
        ('launches', count_launches),
        ('other columns', case.details),
    ):
        try:
            columns.update(read())
        except Exception as error:  # of PyTorch, of the profiler's driver, of a count
            notes.append(f'`{case.name}`, {name} left out: {type(error).__name__}: {error}')
    return columns, kernels


def ratios(
    cases: Sequence[Case],
    times: Sequence[Sequence[float]],
    rows: Sequence[dict],
) -> list[dict]:
    """Compare each case with the first.

    ``speed`` above 1 is faster, ``memory`` above 1 takes less.
    """
    entries = []
    base_times = [value / cases[0].images for value in times[0]]
    for case, seconds, row in zip(cases[1:], times[1:], rows[1:], strict=True):
        speed = paired_ratio(base_times, [value / case.images for value in seconds])
        entry = dict(setting=case.name, base=cases[0].name, speed=speed)
        for key in ('peak_memory_mb', 'extra_memory_mb'):
            if row.get(key) and rows[0].get(key):
                entry['memory'] = rows[0][key] / row[key]
        entries.append(entry)
    return entries


def _allocated(device: str) -> int:
    return torch.cuda.memory_allocated() if device.startswith('cuda') else 0
