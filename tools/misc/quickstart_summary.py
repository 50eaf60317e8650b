"""Summarise a quickstart run: metrics next to two baselines, times, and the files written."""

import argparse
import json
import time
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config that was trained')
    parser.add_argument('work_dir', type=Path, help="folder of the quickstart's results")
    parser.add_argument(
        '--started',
        type=float,
        required=True,
        help='start of the training, seconds since the epoch',
    )
    parser.add_argument(
        '--trained',
        type=float,
        required=True,
        help='end of the training, seconds since the epoch',
    )
    return parser.parse_args()


def main() -> None:
    """Write ``summary.json`` and print it as a table."""
    args = parse_args()
    abs_rel = dict(model=read_abs_rel(args.work_dir / 'test'), **baseline_abs_rel(args.config))
    summary = dict(
        abs_rel=abs_rel,
        train_seconds=round(args.trained - args.started, 1),
        total_seconds=round(time.time() - args.started, 1),
        files=[str(path) for path in list_results(args.work_dir)],
    )
    path = args.work_dir / 'summary.json'
    write_atomically(path, json.dumps(summary, indent=2) + '\n')
    print_summary(summary)
    print(f'This summary: {path}')


def read_abs_rel(test_dir: Path) -> float:
    """Return the ``abs_rel`` of the newest result JSON below ``test_dir``."""
    paths = [path for path in test_dir.glob('*/*.json') if path.stem == path.parent.name]
    if not paths:
        raise FileNotFoundError(
            f'{test_dir} holds no <timestamp>/<timestamp>.json, did tools/test.py run?'
        )
    return json.loads(max(paths).read_text(encoding='utf-8'))['abs_rel']


def baseline_abs_rel(config: str) -> dict[str, float]:
    """Return abs_rel of two baselines on the test scenes.

    ``constant`` is the best constant depth, ``mean_map`` the best depth map of the training scenes.
    """
    import numpy as np

    from depth.engine.config import load_config
    from depth.evaluation.baselines import best_constant, best_map, mean_abs_rel
    from depth.evaluation.protocols import get_protocol
    from depth.registry import DATASETS

    cfg = load_config(config)
    protocol = get_protocol(cfg.test_evaluator['protocol'])

    def load_ground_truth(loader: dict) -> np.ndarray:
        dataset = DATASETS.build(dict(loader['dataset'], pipeline=[]))
        depths = np.stack([dataset[index]['gt_depth'] for index in range(len(dataset))])
        return np.where((depths > protocol.min_depth) & (depths < protocol.max_depth), depths, 0)

    train = load_ground_truth(cfg.train_dataloader)
    test = load_ground_truth(cfg.test_dataloader)
    return dict(
        constant=mean_abs_rel(np.full(test.shape[1:], best_constant(test)), test),
        mean_map=mean_abs_rel(best_map(train), test),
    )


def list_results(work_dir: Path) -> list[Path]:
    """Return the files that a user may want to open, metrics first."""
    patterns = [
        'test/*/*.json',
        'test/*/vis_data/vis_image/*.png',
        'inference/**/*.ply',
        'inference/**/*.png',
        'best_abs_rel_iter_*.pth',
        '**/events.out.tfevents.*',
    ]
    paths: list[Path] = []
    for pattern in patterns:
        paths += sorted(work_dir.glob(pattern))
    return paths


def print_summary(summary: dict) -> None:
    """Print the comparison and the files, one line each."""
    abs_rel = summary['abs_rel']
    rows = [
        ('this model', abs_rel['model']),
        ('best constant (oracle: chosen on the test scenes)', abs_rel['constant']),
        ('best per-pixel map of the training scenes', abs_rel['mean_map']),
    ]
    print('\nabs_rel on the test scenes (lower is better)')
    for name, value in rows:
        print(f'  {value:.4f}  {name}')
    print(f'The model is at {abs_rel["model"] / abs_rel["constant"]:.2f} of the constant.')
    print(
        f'Trained in {summary["train_seconds"]:.0f} s, {summary["total_seconds"]:.0f} s in all '
        'after the install.'
    )
    print('Written:')
    for path in summary['files']:
        print(f'  {path}')


if __name__ == '__main__':
    run_tool(main)
