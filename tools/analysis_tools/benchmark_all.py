"""Run every measurement that docs/benchmarks.md reports for this device and fill the page.

python tools/analysis_tools/benchmark_all.py                 # on a GPU machine, or an idle CPU machine
python tools/analysis_tools/benchmark_all.py --only data_kitti data_nyu
python tools/analysis_tools/benchmark_all.py --step 2 --results OUT --no-page      # one part of the plan for a GPU
python tools/analysis_tools/benchmark_all.py --rehearse --results OUT      # whether its commands run, on the CPU
python tools/analysis_tools/benchmark_all.py --page-only     # write the page again from the results that are there

Each measurement is a process of benchmark.py or compare_presets.py, on a GPU each setting of it;
one that fails or takes too long is named, and keeps the result it had. Results are written as they
come, with --step into one file.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from depth.cli.common import run_tool

if TYPE_CHECKING:
    from benchmarks.plan import Measurement

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=('cpu', 'cuda'), help='cuda if there is one')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='only these measurements')
    parser.add_argument(
        '--extra',
        nargs=argparse.REMAINDER,
        default=[],
        help='further arguments of benchmark.py, last',
    )
    parser.add_argument(
        '--step', type=int, help='only the measurements of this step of gpu_check.sh'
    )
    parser.add_argument(
        '--timeout', type=int, help='seconds for one process (default: that of the measurement)'
    )
    parser.add_argument(
        '--results', type=Path, default=ROOT / 'docs/benchmarks', help='folder of the JSON files'
    )
    parser.add_argument(
        '--page', type=Path, default=ROOT / 'docs/benchmarks.md', help='page to fill'
    )
    parser.add_argument(
        '--rehearse',
        action='store_true',
        help='run the plan for a GPU on the CPU with tiny models; results go to rehearsal, and no page is written',
    )
    parser.add_argument('--no-page', action='store_true', help='write no page')
    parser.add_argument('--page-only', action='store_true', help='measure nothing')
    return parser.parse_args()


def main() -> int:
    """Measure and write the page."""
    args = parse_args()
    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from benchmarks.plan import PLAN, REHEARSED_OPTIONS, rehearse
    from benchmarks.write_page import write_page

    failed = []
    if not args.page_only:
        import torch

        device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
        plan = PLAN['cuda' if args.rehearse else device]
        unknown = set(args.only or ()) - set(plan)
        if unknown:
            raise ValueError(
                f'--only: there is no {", ".join(sorted(unknown))}, only {", ".join(plan)}'
            )
        folder, extra = args.results / device, args.extra
        for name in names_of(args, plan):
            measurement = plan[name]
            if args.rehearse:
                device, folder = 'cpu', args.results / 'rehearsal'
                extra = [*REHEARSED_OPTIONS[measurement.mode], *args.extra]
                measurement = rehearse(measurement)
            print(f'{name} on {device}', flush=True)
            if not measure(args, device, name, measurement, folder, extra):
                failed.append(name)
    if not args.no_page and not args.rehearse:
        write_page(args.page, args.results)
        print(f'{args.page} is written')
    print(f'failed: {", ".join(failed) or "none"}')
    return int(bool(failed))


def names_of(args: argparse.Namespace, plan: dict) -> list[str]:
    """Return the names of the measurements to make."""
    if args.only:
        return args.only
    return [name for name in plan if args.step is None or plan[name].step == args.step]


def measure(
    args: argparse.Namespace,
    device: str,
    name: str,
    measurement: 'Measurement',
    folder: Path,
    extra: list[str],
) -> bool:
    """Run the processes of a measurement and write what they measure; True if none failed.

    Args:
        args: Command line.
        device: ``cpu`` or ``cuda``.
        name: What the plan calls the measurement.
        measurement: The measurement.
        folder: Folder of the results; with ``--step`` also of pictures.
        extra: Further arguments of each process.
    """
    from benchmarks.results import join_results, write_result

    results = []
    complete = True
    commands = measurement.commands()
    if args.step is not None:
        commands = measurement.commands(folder.resolve())
    for command, shown in zip(commands, measurement.commands(), strict=True):
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary, f'{name}.json')
            timeout = args.timeout or measurement.timeout
            command, shown = ([*words, '--device', device] for words in (command, shown))
            complete &= run_command(command, out, timeout, extra)
            if out.is_file():
                results.append(json.loads(out.read_text(encoding='utf-8')))
                results[-1]['environment']['command'] = shlex.join(['python', *shown, *extra])
            for path in Path(temporary).glob(f'{name}_*.json'):  # curves of the presets
                write_result(json.loads(path.read_text(encoding='utf-8')), folder / path.name)
        if results:
            result = join_results(results)
            if measurement.settings:
                whole = ['python', 'tools/analysis_tools/benchmark_all.py', '--device', device]
                result['environment']['command'] = shlex.join([*whole, '--only', name])
            path = folder / f'{name}.json'
            if args.step is not None:
                path = folder / f'step{args.step}.json'
                result = dict(results=read_bundle(path) | {name: result})
            write_result(result, path)
    return complete


def read_bundle(path: Path) -> dict:
    """Return the results by name that a step has written before."""
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding='utf-8'))['results']


def run_command(command: list[str], out: Path, timeout: int, extra: list[str]) -> bool:
    """Run one process; True if it gave a result."""
    started = time.monotonic()
    try:
        process = subprocess.run(
            [sys.executable, *command, '--out', str(out), *extra], cwd=ROOT, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        print(f'stopped after {timeout} s: {shlex.join(command)}', flush=True)
        return False
    seconds = time.monotonic() - started
    print(f'{seconds:.0f} s, exit code {process.returncode}: {shlex.join(command)}', flush=True)
    return process.returncode == 0


if __name__ == '__main__':
    run_tool(main)
