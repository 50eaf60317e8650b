"""Results as a table and as JSON, with what is needed to repeat them."""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import cv2
import mmcv
import mmengine
import numpy as np
import timm
import torch

import depth
from depth.atomic_write import write_atomically

ROOT = Path(__file__).resolve().parents[3]
FORMATS = {'_share': '.1%', '_ms': '.2f', '_per_s': '.2f', '_mb': '.0f', 'to_fp32': '.4%'}
FORMATS |= dict.fromkeys(('abs_rel', 'rmse', 'd1', 'loss'), '.4f')


def environment(device: str) -> dict:
    """Return device, versions, commit and command of a measurement."""
    return dict(
        device=torch.cuda.get_device_name() if device.startswith('cuda') else cpu_name(),
        threads=torch.get_num_threads(),
        load_average=os.getloadavg()[0],
        versions=dict(
            depth=depth.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version() if device.startswith('cuda') else None,
            timm=timm.__version__,
            mmengine=mmengine.__version__,
            mmcv=mmcv.__version__,
            numpy=np.__version__,
            opencv=cv2.__version__,
        ),
        tf32=dict(matmul=torch.backends.cuda.matmul.allow_tf32, cudnn=torch.backends.cudnn.allow_tf32),
        commit=commit(),
        command=shlex.join(['python', *sys.argv]).replace(f'{ROOT}/', ''),  # as typed in the repository
        time=time.strftime('%Y-%m-%dT%H:%M:%S'),
    )


def cpu_name() -> str:
    """Return the processor's name and the number of cores that this process may use."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return f'{names[0] if names else platform.processor() or platform.machine()}, {cores} cores'


def commit() -> str | None:
    """Return the commit of the code, marked where files differ from it; None outside a repository."""
    found = []
    for arguments in (['rev-parse', '--short', 'HEAD'], ['status', '--porcelain', '--untracked-files=no']):
        try:
            done = subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True)
        except OSError:
            return None
        if done.returncode:
            return None
        found.append(done.stdout.strip())
    return f'{found[0]} with changes' if found[1] else found[0]


def format_result(result: dict) -> str:
    """Return the table of a result, its ratios and what it was measured on, as text."""
    where = result['environment']
    lines = [f'{where["device"]}, {where["threads"]} threads, torch {where["versions"]["torch"]}, {where["commit"]}']
    lines += table(result['rows'])
    for name, steps in (result.get('steps') or {}).items():
        listed = ', '.join(f'{step} {milliseconds:.2f}' for step, milliseconds in steps.items())
        lines.append(f'{name}, mean ms of each step (decode is part of the loading steps): {listed}')
    if result.get('fixed_decode_ms') is not None:
        cpu = result['fixed_decode_cpu_ms']
        lines.append(f'fixed decode: {result["fixed_decode_ms"]:.2f} ms, {cpu:.2f} ms of processor time')
    if 'depths' in result:
        lines += ['depth of the same checkpoints against fp32:', *table(result['depths'])]
    lines += [f'{name} was left out: {reason}' for name, reason in result.get('left_out', {}).items()]
    if 'share' in result:
        lines.append(f'the metric takes {result["share"]:.2%} of the prediction')
    for ratio in result['ratios']:
        speed = ratio['speed']
        text = f'{ratio["setting"]}: {speed["median"]:.2f} times the speed of {ratio["base"]}'
        text += f' ({speed["min"]:.2f} to {speed["max"]:.2f})'
        if 'of_means' in speed:
            text += f', {speed["of_means"]:.2f} by the means, {speed["of_cpu_means"]:.2f} by processor time'
        lines.append(text + (f', 1/{ratio["memory"]:.2f} of its memory' if 'memory' in ratio else ''))
    return '\n'.join(lines)


def table(rows: list[dict]) -> list[str]:
    """Return the lines of a table with a column for every key of the rows."""
    cells = table_cells(rows)
    widths = [max(len(line[index]) for line in cells) for index in range(len(cells[0]))]
    return [
        '  '.join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]


def table_cells(rows: list[dict]) -> list[list[str]]:
    """Return the texts of a table, its head first."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [columns, *([_cell(key, row.get(key)) for key in columns] for row in rows)]


def _cell(key: str, value: object) -> str:
    if value is None:
        return '-'
    if isinstance(value, float):
        spec = next((spec for ending, spec in FORMATS.items() if key.endswith(ending)), '.2f')
        return format(value, spec)
    return str(value)


def write_result(result: dict, path: Path) -> None:
    """Write a result as JSON."""
    write_atomically(path, json.dumps(result, indent=2) + '\n')
