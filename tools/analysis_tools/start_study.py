"""Count the runs that start to learn, with and without the data-driven bias of the depth head.

Trains one config with several seeds for a few hundred iterations and compares each with the best
constant depth of the validation scenes: python tools/analysis_tools/start_study.py CONFIG --seeds
10 --iters 300.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import run_tool

TRAIN = Path(__file__).resolve().parents[1] / 'train.py'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config on a synthetic data set')
    parser.add_argument('--seeds', type=int, default=10, help='number of seeds (default: 10)')
    parser.add_argument(
        '--iters',
        type=int,
        default=300,
        help='iterations of each run (default: 300)',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/start_study'),
        help='folder of the runs',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='options of every run',
    )
    return parser.parse_args()


def main() -> None:
    """Train all runs, print a table and write it as JSON."""
    args = parse_args()
    constant = constant_abs_rel(args.config, args.cfg_options)
    print(f'best constant on the validation scenes: abs_rel {constant:.4f}')
    table = {}
    for guard in ('data', None):
        abs_rels = [final_abs_rel(args, seed, guard) for seed in range(args.seeds)]
        table['guard' if guard else 'no guard'] = abs_rels
        num_better = sum(abs_rel < constant for abs_rel in abs_rels)
        values = ' '.join(f'{abs_rel:.3f}' for abs_rel in abs_rels)
        print(
            f'depth bias {guard or "left random"}: {num_better} of {len(abs_rels)} beat the '
            f'constant; abs_rel {values}'
        )
    write_atomically(
        args.work_dir / 'start_study.json',
        json.dumps(dict(constant=constant, **table), indent=2) + '\n',
    )


def final_abs_rel(args: argparse.Namespace, seed: int, guard: str | None) -> float:
    """Train one seed and return the last validation's abs_rel."""
    work_dir = args.work_dir / f'{guard or "none"}_{seed}'
    options = [
        f'train_cfg.max_iters={args.iters}',
        f'train_cfg.val_interval={args.iters}',
        f'custom_hooks.{bias_hook_index(args.config)}.depth={guard}',
        'default_hooks.visualization.num_images=0',
        *args.cfg_options,
    ]
    command = [
        sys.executable,
        str(TRAIN),
        args.config,
        '--work-dir',
        str(work_dir),
        '--seed',
        str(seed),
    ]
    process = subprocess.run([*command, '--cfg-options', *options], capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f'seed {seed} failed: {process.stderr[-500:]}')
    newest = max(work_dir.glob('*/vis_data/scalars.json'))
    entries = [json.loads(line) for line in newest.read_text().splitlines()]
    return next(entry['abs_rel'] for entry in reversed(entries) if 'abs_rel' in entry)


def bias_hook_index(config: str) -> int:
    """Return the position of ``DepthBiasInitHook`` in ``custom_hooks`` of a config.

    Raises:
        ValueError: If the config has no such hook.
    """
    from depth.engine.config import load_config

    types = [hook['type'] for hook in load_config(config).get('custom_hooks', [])]
    if 'DepthBiasInitHook' not in types:
        raise ValueError(
            f'{config} has no DepthBiasInitHook in custom_hooks, so there is no initial bias to '
            'compare'
        )
    return types.index('DepthBiasInitHook')


def constant_abs_rel(config: str, options: list[str]) -> float:
    """Return abs_rel of the constant that is best on the validation scenes."""
    import numpy as np

    from depth.cli.common import parse_cfg_options
    from depth.engine.config import load_config
    from depth.evaluation.baselines import best_constant, mean_abs_rel
    from depth.registry import DATASETS

    cfg = load_config(config, parse_cfg_options(options))
    dataset = DATASETS.build(dict(cfg.val_dataloader.dataset, pipeline=[]))
    depths = np.stack([dataset[index]['gt_depth'] for index in range(len(dataset))])
    return mean_abs_rel(np.full(depths.shape[1:], best_constant(depths)), depths)


if __name__ == '__main__':
    run_tool(main)
