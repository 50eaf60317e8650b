r"""Train and test configs with several seeds; print their metrics and the paired changes from the first config.

    python tools/analysis_tools/compare_configs.py configs/synthetic/depthformer_tiny_rooms.py \
        configs/synthetic/depthformer_tiny_rooms_dgr_otdl.py --seeds 0 1 2 --metrics abs_rel
        boundary_f1 \ --cfg-options test_evaluator.boundary_ratio=1.05

The other configs are compared with the first one. A run that has a test result is not repeated, so
the command can be stopped and started again, and configs and seeds can be added later.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import run_tool

TOOLS = Path(__file__).resolve().parents[1]
METRICS = ['abs_rel', 'rmse', 'd1']


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('configs', nargs='+', help='config files; the first is the base')
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='seeds that each config is trained with (default 0 1 2)',
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=METRICS,
        help='metrics of tools/test.py (default: %(default)s)',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/compare_configs'),
        help='folder of the runs (default: %(default)s)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='config values of every run',
    )
    return parser.parse_args()


def main() -> None:
    """Run the missing trainings and tests, print the table and write the results as JSON."""
    args = parse_args()
    names = [Path(config).stem for config in args.configs]
    if len(set(names)) < len(names):
        raise ValueError(f'the configs need different file names, got {" ".join(names)}')
    results: dict[str, list[dict]] = {}
    for name, config in zip(names, args.configs, strict=True):
        results[name] = []
        for seed in args.seeds:
            results[name].append(
                run_config(config, seed, args.work_dir / name / f'seed_{seed}', args)
            )
    print(table(results, args.metrics))
    out = args.work_dir / 'compare_configs.json'
    write_atomically(
        out, json.dumps(dict(command=sys.argv, seeds=args.seeds, results=results), indent=2) + '\n'
    )
    print(f'written to {out}')


def run_config(
    config: str, seed: int, work_dir: Path, args: argparse.Namespace
) -> dict[str, float]:
    """Return the test metrics of one config and seed; train and test if there is no result yet."""
    result_file = find_test_result(work_dir)
    if result_file is None:
        print(f'{config}, seed {seed}', flush=True)
        options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
        run_tool_script('train.py', config, '--work-dir', work_dir, '--seed', seed, *options)
        checkpoint = (work_dir / 'last_checkpoint').read_text().strip()
        run_tool_script('test.py', config, checkpoint, '--work-dir', work_dir / 'test', *options)
        result_file = find_test_result(work_dir)
    metrics = json.loads(result_file.read_text())
    missing = [name for name in args.metrics if name not in metrics]
    if missing:
        raise ValueError(f'{result_file} has no {missing[0]}; it has {", ".join(sorted(metrics))}')
    return {name: metrics[name] for name in args.metrics}


def find_test_result(work_dir: Path) -> Path | None:
    """Return the newest result of tools/test.py below a run's folder, None if there is none."""
    # The folders of tests are called by their time stamps.
    for folder in sorted((work_dir / 'test').glob('*'), reverse=True):
        path = folder / f'{folder.name}.json'
        if path.is_file():
            return path
    return None


def run_tool_script(tool: str, *arguments: object) -> None:
    """Run a script of tools/.

    Raises:
        RuntimeError: If it fails; the message has the end of its error output.
    """
    command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f'{" ".join(command)} failed:\n{process.stderr[-2000:]}')


def table(results: dict[str, list[dict]], metrics: list[str]) -> str:
    """Return a Markdown table: mean and standard deviation over seeds, then each config's paired change from the base.

    A change has the half-width of its 95 % t interval over the seeds, and a ``*`` if the interval
    does not contain 0.
    """
    base, *compared = results
    lines = [f'| config | {" | ".join(metrics)} |', f'|{" --- |" * (len(metrics) + 1)}']
    for name, runs in results.items():
        lines.append(_row(name, [[run[metric] for run in runs] for metric in metrics], '.4f'))
    for name in compared:
        cells = []
        for metric in metrics:
            pairs = zip(results[name], results[base], strict=True)
            cells.append(_change([run[metric] - base_run[metric] for run, base_run in pairs]))
        lines.append(f'| {name} - {base} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def _change(values: list[float]) -> str:
    """Return the mean of paired differences with its 95 % half-width, and ``*`` if the interval does not contain 0."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f'{mean:+.4f}'
    import numpy as np

    from depth.evaluation.statistics import student_interval

    interval = student_interval(np.array(values))
    half_width = (interval.high - interval.low) / 2
    return f'{mean:+.4f} ± {half_width:.4f}{" *" if abs(mean) > half_width else ""}'


def _row(name: str, columns: list[list[float]], form: str) -> str:
    cells = []
    for values in columns:
        spread = f' ± {statistics.stdev(values):.4f}' if len(values) > 1 else ''
        cells.append(f'{statistics.mean(values):{form}}{spread}')
    return f'| {name} | {" | ".join(cells)} |'


if __name__ == '__main__':
    run_tool(main)
