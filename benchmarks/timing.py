"""Repetitions of several things in turn."""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch


@dataclass
class Case:
    """Something that is measured.

    Attributes:
        name: What the table calls it.
        step: One repetition.
        images: How many images one repetition works on.
        context: Makes the surroundings in which it is built, warmed up and run.
        details: Called after the repetitions; further columns of the table.
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
    progress: Callable[[str], None] = lambda text: None,
) -> list[list[float]]:
    """Run every case in turn, ``repeats`` times.

    Args:
        cases: What to measure.
        repeats: Rounds.
        device: Where the work is done; on CUDA the clock is read when the device is idle.
        warmup: Rounds before the first one that counts.
        progress: Told what is being done.

    Returns:
        Seconds of each repetition, one list a case.
    """
    times: list[list[float]] = [[] for _ in cases]
    for number in range(-warmup, repeats):
        progress(f'warm-up {number + warmup + 1}/{warmup}' if number < 0 else f'round {number + 1}/{repeats}')
        for case, seconds in zip(cases, times, strict=True):
            with case.context():
                elapsed = timed(case.step, device)
            if number >= 0:
                seconds.append(elapsed)
    return times


def timed(step: Callable[[], object], device: str = 'cpu') -> float:
    """Return the seconds that ``step`` takes on the device."""
    wait = torch.cuda.synchronize if device.startswith('cuda') else (lambda: None)
    wait()
    start = time.perf_counter()
    step()
    wait()
    return time.perf_counter() - start


def summary(case: Case, seconds: Sequence[float]) -> dict:
    """Return the columns that every row has: milliseconds of one repetition and images a second."""
    median = statistics.median(seconds)
    return dict(
        setting=case.name,
        median_ms=median * 1e3,
        min_ms=min(seconds) * 1e3,
        max_ms=max(seconds) * 1e3,
        images_per_s=case.images / median,
    )


def paired_ratio(base: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Return how many times faster ``other`` is: median, least and greatest of the ratios of neighbouring runs."""
    ratios = sorted(first / second for first, second in zip(base, other, strict=True))
    return dict(median=statistics.median(ratios), min=ratios[0], max=ratios[-1])
