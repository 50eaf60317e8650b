"""Timing of several cases in turn."""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch


@dataclass
class Case:
    """One case of a benchmark.

    Attributes:
        name: Name in the table.
        step: One repetition.
        images: How many images one repetition works on.
        context: Context manager in which it is built, warmed up and run.
        details: Returns further columns of the table, after the repetitions.
    """

    name: str
    step: Callable[[], object]
    images: int = 1
    context: Callable[[], AbstractContextManager] = nullcontext
    details: Callable[[], dict] = field(default=dict)


def interleave(
    cases: Sequence[Case],
    repeats: int,
    device: str = 'cpu',
    warmup: int = 0,
    steps: int = 1,
    progress: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Run every case in turn, ``repeats`` times.

    Args:
        cases: What to measure.
        repeats: Rounds.
        device: Where the work is done; on CUDA the clock is read when the device is idle.
        warmup: Rounds before the first one that counts.
        steps: Steps of one repetition, of which the mean counts.
        progress: Called with a line of text before each round.
        clock: ``time.perf_counter``, or ``time.process_time`` on a CPU that others use as well.

    Returns:
        Seconds of each repetition, one list per case.
    """
    times: list[list[float]] = [[] for _ in cases]
    for number in range(-warmup, repeats):
        progress(
            f'warm-up {number + warmup + 1}/{warmup}'
            if number < 0
            else f'round {number + 1}/{repeats}',
        )
        for case, seconds in zip(cases, times, strict=True):
            with case.context():
                elapsed = timed(case.step, device, steps, clock)
            if number >= 0:
                seconds.append(elapsed)
    return times


def timed(
    step: Callable[[], object],
    device: str = 'cpu',
    steps: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the seconds that ``step`` takes on the device, the mean of ``steps`` in a row."""
    # CUDA calls return before the work is finished.
    wait = torch.cuda.synchronize if device.startswith('cuda') else (lambda: None)
    wait()
    start = clock()
    for _ in range(steps):
        step()
    wait()
    return (clock() - start) / steps


def summary(case: Case, seconds: Sequence[float]) -> dict:
    """Return the columns that every row has: milliseconds per repetition and images per second."""
    median = statistics.median(seconds)
    return dict(
        setting=case.name,
        median_ms=median * 1e3,
        min_ms=min(seconds) * 1e3,
        max_ms=max(seconds) * 1e3,
        images_per_s=case.images / median,
    )


def paired_ratio(base: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Return the speed-up of ``other``: median and range of the ratios of neighbouring runs."""
    ratios = sorted(first / second for first, second in zip(base, other, strict=True))
    return dict(median=statistics.median(ratios), min=ratios[0], max=ratios[-1])
