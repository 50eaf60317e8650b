"""Mode presets: nothing may be bought with quality.

Every preset is trained from the same seeds as the float32 baseline and scored on the same unseen scenes, and the
baseline's checkpoints predict those scenes under every preset.
"""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from depth.engine.checkpoint import save_atomically

from .preset_runs import (
    METRICS,
    Run,
    predict,
    train,
)
from .presets import BASELINE, Preset
from .settings import Spec

GOAL = 0.005  # abs_rel between the depth of a preset and of float32, same checkpoint
LAST = 50  # iterations over which the final loss is averaged


def run(
    spec: Spec,
    presets: dict[str, Preset],
    seeds: Sequence[int],
    iterations: int,
    scenes: int,
    keep: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict:
    """Train and predict under every preset.

    Args:
        spec: Config, size and batch.
        presets: By name, the baseline first.
        seeds: Every preset is trained once from each.
        iterations: Of each training.
        scenes: How many unseen scenes.
        keep: Folder for finished trainings; those that are there are not done again.
        progress: Told what is being done.

    Returns:
        ``rows``: final metrics; ``depths``: differences of the depth; ``curves``: losses by preset, one list a seed.
    """
    runs: dict[str, list[Run]] = {}
    for name, preset in presets.items():
        for seed in seeds if preset.training else ():
            progress(f'{name}: training from seed {seed}')
            path = keep / f'{name}_{seed}.pth' if keep else None
            if path and path.is_file():
                one = Run(**torch.load(path, weights_only=True))
            else:
                one = train(spec, preset.training, seed, iterations, scenes)
            if path:
                save_atomically(vars(one), path)
            runs.setdefault(name, []).append(one)
    states = [one.state for one in runs[BASELINE]]
    base = predict(spec, presets[BASELINE].inference, states, scenes)
    depths = []
    for name, preset in presets.items():
        if preset.inference and name != BASELINE:
            progress(f'{name}: predicting')
            depths.append(dict(setting=name, **difference(base, predict(spec, preset.inference, states, scenes))))
    return dict(
        iterations=iterations,
        seeds=list(seeds),
        scenes=scenes,
        rows=[training_row(name, own, runs[BASELINE]) for name, own in runs.items()],
        depths=depths,
        curves={name: [[round(loss, 5) for loss in one.losses] for one in own] for name, own in runs.items()},
        metrics={name: [one.metrics for one in own] for name, own in runs.items()},
        ratios=[],
    )


def difference(base: Sequence[Tensor], other: Sequence[Tensor]) -> dict:
    """Return how far depth maps are from those of float32: abs_rel of the scenes, over all checkpoints.

    Args:
        base: Depth (scenes, H, W) in metres of each checkpoint.
        other: The same under a preset.
    """
    scenes = [(abs(depth - truth) / truth).mean(dim=(1, 2)).double() for truth, depth in zip(base, other, strict=True)]
    mean = statistics.fmean(float(values.mean()) for values in scenes)
    return dict(
        mean_abs_rel_to_fp32=mean,
        worst_scene_abs_rel_to_fp32=max(float(values.max()) for values in scenes),
        below_half_a_percent='yes' if mean < GOAL else 'no',
    )


def training_row(name: str, runs: Sequence[Run], base: Sequence[Run]) -> dict:
    """Return means and spreads of the final metrics of a preset, and which means the baseline's spread misses."""
    row: dict = dict(setting=name)
    missed = []
    for metric in METRICS:
        values, spread = ([one.metrics[metric] for one in some] for some in (runs, base))
        mean = statistics.fmean(values)
        row |= {metric: mean, f'min_{metric}': min(values), f'max_{metric}': max(values)}
        if not min(spread) <= mean <= max(spread):
            missed.append(metric)
    row['final_loss'] = statistics.fmean(statistics.fmean(one.losses[-LAST:]) for one in runs)
    row['outside_fp32_spread'] = ', '.join(missed) or 'none'
    return row
