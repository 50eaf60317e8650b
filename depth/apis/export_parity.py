"""Parity report of an exported file: its outputs and times beside those of PyTorch."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .export_formats import Run
from .export_network import ExportedNetwork, Frame, network_inputs

MAX_RELATIVE_L2 = 1e-4
MAX_MASK_SHARE = 1e-3  # of pixels that differ in a mask


def parity_report(
    network: ExportedNetwork, run: Run, frames: Sequence[Frame], sizes: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """Compare an exported file with PyTorch: every frame and every size at least once.

    Args:
        network: What was exported.
        run: Runs the file.
        frames: Images.
        sizes: (height, width) of the images.

    Returns:
        ``passed``; ``max_relative_l2``; ``images``: name, size, error by output, milliseconds of
        both, and ``error`` where one failed.
    """
    entries = []
    for index in range(max(len(frames), len(sizes))):
        size = sizes[index % len(sizes)]
        frame = frames[index % len(frames)].at_size(size)
        arguments = network_inputs(network, frame)
        entry: dict[str, Any] = dict(image=frame.name, size=list(size), passed=False)
        entries.append(entry)
        expected, entry['pytorch_ms'] = _timed(
            lambda inputs: [value.numpy() for value in network(*inputs)], arguments
        )
        try:
            outputs, entry['file_ms'] = _timed(run, arguments)
        except Exception as error:  # each runtime has classes of its own
            entry['error'] = str(error).splitlines()[0][:500]
            continue
        errors = {}
        for name, value, reference in zip(network.output_names, outputs, expected, strict=True):
            errors[name] = output_error(value, reference)
        entry['relative_l2'] = errors
        entry['passed'] = all(
            error <= (MAX_MASK_SHARE if reference.dtype == bool else MAX_RELATIVE_L2)
            for error, reference in zip(errors.values(), expected, strict=True)
        )
    largest = max(
        (entry['relative_l2']['depth'] for entry in entries if 'relative_l2' in entry),
        default=float('inf'),
    )
    return dict(
        passed=all(entry['passed'] for entry in entries),
        limit=MAX_RELATIVE_L2,
        max_relative_l2=largest,
        threads=torch.get_num_threads(),
        images=entries,
    )


def _timed(
    function: Callable[[tuple[Tensor, ...]], list[np.ndarray]], arguments: tuple[Tensor, ...]
) -> tuple[list[np.ndarray], float]:
    """Return the result of a second call, and its milliseconds."""
    function(arguments)
    start = time.perf_counter()
    result = function(arguments)
    return result, round(1000 * (time.perf_counter() - start), 2)


def output_error(value: np.ndarray, reference: np.ndarray) -> float:
    """Return the relative L2 error; of boolean maps the share of pixels that differ.

    Infinity if shapes differ or a value is not finite.
    """
    if value.shape != reference.shape:
        return float('inf')
    if reference.dtype == bool:
        return float((value != reference).mean())
    difference = value.astype(np.float64) - reference
    if not np.isfinite(difference).all():
        return float('inf')
    norm = float(np.linalg.norm(reference.astype(np.float64)))
    error = float(np.linalg.norm(difference))
    if norm == 0:
        return 0.0 if error == 0 else float('inf')
    return error / norm


def format_report(report: dict[str, Any]) -> str:
    """Return a report as a table."""
    verdict = 'parity holds' if report['passed'] else 'PARITY DOES NOT HOLD'
    lines = [
        f'{report["file"]} ({report["file_format"]}, {report["bytes"] / 1e6:.1f} MB): {verdict}, '
        f'relative L2 of depth up to {report["max_relative_l2"]:.2e} '
        f'(limit {report["limit"]:.0e}), {report["threads"]} threads',
        f'{"size":>11}  {"relative L2":>11}  {"PyTorch ms":>10}  {"file ms":>8}  image',
    ]
    for entry in report['images']:
        size = f'{entry["size"][0]}x{entry["size"][1]}'
        if 'error' in entry:
            lines.append(f'{size:>11}  failed: {entry["error"]}  {entry["image"]}')
            continue
        lines.append(
            f'{size:>11}  {entry["relative_l2"]["depth"]:>11.2e}  {entry["pytorch_ms"]:>10.1f}  '
            f'{entry["file_ms"]:>8.1f}  {entry["image"]}'
        )
        for name, error in entry['relative_l2'].items():
            if name != 'depth':
                lines.append(f'{"":>11}  {error:>11.2e}  {name}')
    return '\n'.join(lines) + '\n'
