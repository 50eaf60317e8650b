"""Mode presets: quality of every preset compared with the float32 baseline.

Every preset is trained from the same seeds as the float32 baseline and scored on the same unseen
scenes, and the baseline's checkpoints predict those scenes under every preset.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
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

# Abs_rel between the depth of a preset and of float32, same checkpoint.
MAX_DEPTH_DIFFERENCE = 0.005
FINAL_ITERATIONS = 50  # over which the final loss is averaged
# Images of KITTI. Rounding of positions grows with the size of the maps, so that a preset which is
# exact on the small images of the trainings may be pixels off here.
FULL_SIZE = (352, 1216)


def run(
    spec: Spec,
    presets: dict[str, Preset],
    seeds: Sequence[int],
    iterations: int,
    scenes: int,
    keep: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
    full_size: tuple[int, int] = FULL_SIZE,
    seconds: float | None = None,
) -> dict:
    """Train and predict under every preset.

    Args:
        spec: Config, size and batch.
        presets: By name, the baseline first.
        seeds: Every preset is trained once from each.
        iterations: Of each training.
        scenes: How many unseen scenes.
        keep: Folder of finished trainings, which are not repeated.
        progress: Called with a line of text before each step.
        full_size: (height, width) of one more scene, which the baseline's first checkpoint predicts
            under every preset.
        seconds: No training begins after so long.

    Returns:
        ``rows``: final metrics; ``depths``: differences of the depth; ``curves``: losses by preset,
        one list a seed; ``left_out``: presets that failed or came too late, with the reason.
    """
    runs: dict[str, list[Run]] = {}
    left_out: dict[str, str] = {}
    started = time.monotonic()

    def train_all(name: str, preset: Preset) -> list[Run]:
        trainings = []
        for seed in seeds if preset.training else ():
            path = keep / f'{name}_{seed}.pth' if keep else None
            if path and path.is_file():
                trainings.append(Run(**torch.load(path, weights_only=True)))
                continue
            if runs and seconds is not None and time.monotonic() - started > seconds:
                raise TimeoutError(f'{seconds:.0f} s were over')
            progress(f'{name}: training from seed {seed}')
            trainings.append(train(spec, preset.training, seed, iterations, scenes))
            if path:
                save_atomically(vars(trainings[-1]), path)
        return trainings

    for name, preset in presets.items():
        # Without the baseline, the first, there is nothing to compare with: its error is raised.
        with _named_failure(name, left_out) if runs else nullcontext():
            trainings = train_all(name, preset)
            if trainings:
                runs[name] = trainings
    states = [training.state for training in runs[BASELINE]]
    base = predict(spec, presets[BASELINE].inference, states, scenes)
    full_spec = replace(spec, shape=full_size)
    full_base = predict(full_spec, presets[BASELINE].inference, states[:1], 1)
    depths = []
    for name, preset in presets.items():
        if not preset.inference or name == BASELINE:
            continue
        progress(f'{name}: predicting')
        with _named_failure(f'{name} in inference', left_out):
            row = difference(base, predict(spec, preset.inference, states, scenes))
            full = difference(full_base, predict(full_spec, preset.inference, states[:1], 1))
            column = f'abs_rel_to_fp32_at_{full_size[0]}x{full_size[1]}'
            row[column] = full['mean_abs_rel_to_fp32']
            row['below_half_a_percent'] = (
                'yes'
                if max(row['mean_abs_rel_to_fp32'], row[column]) < MAX_DEPTH_DIFFERENCE
                else 'no'
            )
            depths.append(dict(setting=name, **row))
    rows, curves, metrics = [], {}, {}
    for name, trainings in runs.items():
        rows.append(training_row(name, trainings, runs[BASELINE]))
        curves[name] = [_rounded(training.losses) for training in trainings]
        metrics[name] = [training.metrics for training in trainings]
    return dict(
        iterations=iterations,
        seeds=list(seeds),
        scenes=scenes,
        left_out=left_out,
        rows=rows,
        depths=depths,
        curves=curves,
        metrics=metrics,
        ratios=[],
    )


@contextmanager
def _named_failure(name: str, left_out: dict[str, str]) -> Iterator[None]:
    """Write down the error of a preset, so that it does not take the others' results with it."""
    try:
        yield
    except Exception as error:
        left_out[name] = f'{type(error).__name__}: {error}'


def _rounded(losses: Sequence[float]) -> list[float]:
    return [round(loss, 5) for loss in losses]


def difference(base: Sequence[Tensor], other: Sequence[Tensor]) -> dict:
    """Compare depth maps with those of float32: abs_rel of the scenes, over all checkpoints.

    Args:
        base: Depth (scenes, H, W) in metres of each checkpoint.
        other: The same under a preset.
    """
    scenes = []
    for reference, depth in zip(base, other, strict=True):
        relative_error = abs(depth - reference) / reference
        scenes.append(relative_error.mean(dim=(1, 2)).double())
    mean = statistics.fmean(float(values.mean()) for values in scenes)
    return dict(
        mean_abs_rel_to_fp32=mean,
        worst_scene_abs_rel_to_fp32=max(float(values.max()) for values in scenes),
        below_half_a_percent='yes' if mean < MAX_DEPTH_DIFFERENCE else 'no',
    )


def training_row(name: str, runs: Sequence[Run], base: Sequence[Run]) -> dict:
    """Return means and ranges of a preset's final metrics.

    Metrics whose mean is outside the baseline's range over the seeds are named.
    """
    row: dict = dict(setting=name)
    outside = []
    for metric in METRICS:
        values = [training.metrics[metric] for training in runs]
        base_values = [training.metrics[metric] for training in base]
        mean = statistics.fmean(values)
        row |= {metric: mean, f'min_{metric}': min(values), f'max_{metric}': max(values)}
        if not min(base_values) <= mean <= max(base_values):
            outside.append(metric)
    final_losses = [statistics.fmean(training.losses[-FINAL_ITERATIONS:]) for training in runs]
    row['final_loss'] = statistics.fmean(final_losses)
    row['outside_fp32_spread'] = ', '.join(outside) or 'none'
    return row
