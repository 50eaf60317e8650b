r"""Train and test configs with the same seeds and print what changes, with the spread over the seeds.

    python tools/analysis_tools/compare_configs.py configs/synthetic/depthformer_tiny_rooms.py \
        configs/synthetic/depthformer_tiny_rooms_dgr_otdl.py --seeds 0 1 2 --metrics abs_rel boundary_f1 \
        --cfg-options test_evaluator.boundary_ratio=1.05

The first config is what the others are compared with. A run whose test is there is not done again, so the command can
be stopped and started again, and configs and seeds can be added later.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli import run_tool

TOOLS = Path(__file__).resolve().parents[1]
METRICS = ['abs_rel', 'rmse', 'd1']


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('configs', nargs='+', help='config files; the first is the base')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='each config is trained with each')
    parser.add_argument('--metrics', nargs='+', default=METRICS, help='names in the result files of tools/test.py')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/compare_configs'), help='where the runs go')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='changes for every run')
    return parser.parse_args()


def main() -> None:
    """Run what is missing, then print the table and write it as JSON."""
    args = parse_args()
    names = [Path(config).stem for config in args.configs]
    if len(set(names)) < len(names):
        raise ValueError(f'the configs need different file names, got {" ".join(names)}')
    results: dict[str, list[dict]] = {}
    for name, config in zip(names, args.configs, strict=True):
        results[name] = [tested(config, seed, args.work_dir / name / f'seed_{seed}', args) for seed in args.seeds]
    print(table(results, args.metrics))
    out = args.work_dir / 'compare_configs.json'
    write_atomically(out, json.dumps(dict(command=sys.argv, seeds=args.seeds, results=results), indent=2) + '\n')
    print(f'written to {out}')


def tested(config: str, seed: int, work_dir: Path, args: argparse.Namespace) -> dict[str, float]:
    """Return the test metrics of one run, which is done if it is not there."""
    if not (found := test_result(work_dir)):
        print(f'{config}, seed {seed}', flush=True)
        options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
        run('train.py', config, '--work-dir', work_dir, '--seed', seed, *options)
        checkpoint = (work_dir / 'last_checkpoint').read_text().strip()
        run('test.py', config, checkpoint, '--work-dir', work_dir / 'test', *options)
        found = test_result(work_dir)
    metrics = json.loads(found.read_text())
    missing = [name for name in args.metrics if name not in metrics]
    if missing:
        raise ValueError(f'{found} has no {missing[0]}; it has {", ".join(sorted(metrics))}')
    return {name: metrics[name] for name in args.metrics}


def test_result(work_dir: Path) -> Path | None:
    """Return the newest result of tools/test.py below a run's folder."""
    found = [folder / f'{folder.name}.json' for folder in (work_dir / 'test').glob('*') if folder.is_dir()]
    return max((path for path in found if path.is_file()), default=None)


def run(tool: str, *arguments: object) -> None:
    """Run a tool; its output is shown if it fails."""
    command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)} failed:\n{done.stderr[-2000:]}')


def table(results: dict[str, list[dict]], metrics: list[str]) -> str:
    """Return Markdown: mean and standard deviation over seeds, then each config's paired change from the base."""
    base, *others = results
    lines = [f'| config | {" | ".join(metrics)} |', f'|{" --- |" * (len(metrics) + 1)}']
    for name, runs in results.items():
        lines.append(_row(name, [[run[metric] for run in runs] for metric in metrics], '.4f'))
    for name in others:
        pairs = list(zip(results[name], results[base], strict=True))
        changes = [[mine[metric] - theirs[metric] for mine, theirs in pairs] for metric in metrics]
        lines.append(_row(f'{name} - {base}', changes, '+.4f'))
    return '\n'.join(lines)


def _row(name: str, columns: list[list[float]], form: str) -> str:
    cells = []
    for values in columns:
        spread = f' ± {statistics.stdev(values):.4f}' if len(values) > 1 else ''
        cells.append(f'{statistics.mean(values):{form}}{spread}')
    return f'| {name} | {" | ".join(cells)} |'


if __name__ == '__main__':
    run_tool(main)
