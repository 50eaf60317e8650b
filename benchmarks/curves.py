"""Figures of loss curves: one panel per seed, or one per method."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depth.atomic_write import write_atomically


def draw_curves(
    curves: dict[str, list[list[float]]],
    seeds: Sequence[int],
    path: Path,
    window: int = 10,
) -> None:
    """Draw one panel per seed with the smoothed losses of every preset.

    Args:
        curves: Losses of every iteration by preset, one list per seed; the first preset is drawn in
            black.
        seeds: Titles of the panels.
        path: PNG to write.
        window: Iterations of the moving average.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1,
        len(seeds),
        figsize=(4.5 * len(seeds), 3.6),
        sharey=True,
        squeeze=False,
    )
    for index, (axis, seed) in enumerate(zip(axes[0], seeds, strict=True)):
        for number, (name, losses) in enumerate(curves.items()):
            smooth = moving_average(losses[index], window)
            color, linewidth = f'C{number - 1}', 1.0
            if number == 0:  # the baseline
                color, linewidth = 'black', 2.5
            # A mean is drawn at the last iteration of its window.
            iterations = np.arange(len(smooth)) + len(losses[index]) - len(smooth)
            axis.plot(iterations, smooth, label=name, color=color, linewidth=linewidth)
        axis.set_title(f'seed {seed}')
        axis.set_xlabel('iteration')
        axis.set_yscale('log')
    axes[0][0].set_ylabel(f'loss, mean of {window}')
    axes[0][-1].legend(fontsize=7)
    _write(figure, path)


def draw_pairs(
    curves: dict[str, list[list[float]]],
    methods: Sequence[str],
    path: Path,
    window: int = 20,
) -> None:
    """Draw one panel per method: the published training in black, ours in colour, a line per seed.

    Args:
        curves: Losses of every iteration by ``METHOD published`` and ``METHOD ours``, one list per
            seed.
        methods: Titles of the panels.
        path: PNG to write.
        window: Iterations of the moving average.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    columns = min(len(methods), 4)
    rows = -(-len(methods) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(3.6 * columns, 3.0 * rows), squeeze=False
    )
    for axis in axes.flat[len(methods) :]:
        axis.set_axis_off()
    for axis, method in zip(axes.flat, methods, strict=False):
        for side, color, width in (('published', 'black', 2.5), ('ours', 'C1', 1.0)):
            for number, losses in enumerate(curves[f'{method} {side}']):
                smooth = moving_average(losses, window)
                iterations = np.arange(len(smooth)) + len(losses) - len(smooth)
                label = side if number == 0 else None
                axis.plot(iterations, smooth, color=color, linewidth=width, label=label)
        axis.set_title(method)
        axis.set_xlabel('iteration')
        axis.set_yscale('log')
        # Plain numbers: less than a decade is often all there is, and powers of ten say little
        # then.
        for numbers in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            numbers('{x:g}')
    axes[0][0].set_ylabel(f'loss, mean of {window}')
    axes[0][0].legend(fontsize=7)
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    """Write a figure as a picture and close it."""
    from matplotlib import pyplot

    figure.tight_layout()
    content = io.BytesIO()
    figure.savefig(content, dpi=90, format=path.suffix.removeprefix('.'))
    write_atomically(path, content.getvalue())
    pyplot.close(figure)


def moving_average(values: Sequence[float], window: int) -> np.ndarray:
    """Return the means of ``window`` consecutive values; of all if there are fewer."""
    window = min(window, len(values))
    return np.convolve(values, np.full(window, 1 / window), mode='valid')
