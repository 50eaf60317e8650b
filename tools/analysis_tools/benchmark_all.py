"""Run every measurement that docs/benchmarks.md reports for this device and fill the page.

python tools/analysis_tools/benchmark_all.py                 # on a GPU machine, or an idle CPU machine
python tools/analysis_tools/benchmark_all.py --only data_kitti data_nyu
python tools/analysis_tools/benchmark_all.py --page-only     # write the page again from the results that are there

Each measurement is a process of benchmark.py or compare_presets.py; one that fails or takes too long keeps the result
it had, and is named.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from depth.cli import run_tool

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
    parser.add_argument('--timeout', type=int, default=3600, help='seconds for one measurement')
    parser.add_argument(
        '--results', type=Path, default=ROOT / 'docs/benchmarks', help='folder of the JSON files'
    )
    parser.add_argument(
        '--page', type=Path, default=ROOT / 'docs/benchmarks.md', help='page to fill'
    )
    parser.add_argument('--page-only', action='store_true', help='measure nothing')
    return parser.parse_args()


def main() -> int:
    """Measure and write the page."""
    args = parse_args()
    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from benchmarks.plan import PLAN
    from benchmarks.write_page import write_page

    failed = []
    if not args.page_only:
        import torch

        device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
        unknown = set(args.only or ()) - set(PLAN[device])
        if unknown:
            raise ValueError(
                f'--only: there is no {", ".join(sorted(unknown))}, only {", ".join(PLAN[device])}'
            )
        for name in args.only or PLAN[device]:
            print(f'{name} on {device}', flush=True)
            if not measure(args, device, name, PLAN[device][name]):
                failed.append(name)
    write_page(args.page, args.results)
    print(f'{args.page} is written; failed: {", ".join(failed) or "none"}')
    return int(bool(failed))


def measure(args: argparse.Namespace, device: str, name: str, measurement) -> bool:
    """Run one command; True if it gave a result."""
    out = args.results / device / f'{name}.json'
    command = [*measurement.command(), '--device', device]
    try:
        process = subprocess.run(
            [sys.executable, *command, '--out', str(out), *args.extra],
            cwd=ROOT,
            timeout=args.timeout,
        )
    except subprocess.TimeoutExpired:
        print(f'{name}: stopped after {args.timeout} s')
        return False
    return process.returncode == 0


if __name__ == '__main__':
    run_tool(main)
