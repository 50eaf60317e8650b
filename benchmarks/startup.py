"""Mode startup: start-up time of imports and commands."""

import statistics
import subprocess
import sys
from collections.abc import Callable

from .environment import ROOT
from .timing import Case, interleave, summary

IMPORTS = dict(
    torch='import torch',
    depth='import torch, depth',
    registry='import torch, depth.registry',
    apis='import torch, depth.apis',
)


def run(repeats: int, progress: Callable[[str], None] = lambda text: None) -> dict:
    """Start every command in turn; ``beyond_torch_ms`` is the time minus that of ``import torch``."""
    commands = {code: ['-c', code] for code in IMPORTS.values()}
    for tool in ('train', 'test', 'infer'):
        if (ROOT / f'tools/{tool}.py').is_file():
            commands[f'tools/{tool}.py --help'] = [str(ROOT / f'tools/{tool}.py'), '--help']
    cases = [
        Case(name, _starter([sys.executable, *arguments])) for name, arguments in commands.items()
    ]
    times = interleave(cases, repeats, warmup=1, progress=progress)
    rows = [summary(case, seconds) for case, seconds in zip(cases, times, strict=True)]
    for row, seconds in zip(rows, times, strict=True):
        row.pop('images_per_s')
        if row['setting'].startswith(f'{IMPORTS["torch"]},'):
            # Differences of neighbouring runs, which share the noise of the machine.
            differences = [own - torch for torch, own in zip(times[0], seconds, strict=True)]
            row['beyond_torch_ms'] = statistics.median(differences) * 1e3
    return dict(rows=rows, ratios=[])


def _starter(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
