"""Train methods as published, in a plain loop, and with this toolbox; compare loss curves and results.

python tools/analysis_tools/compare_curves.py                       # every method, 600 iterations, 3 seeds
python tools/analysis_tools/compare_curves.py --methods bts dpt --iters 100 --seeds 0

Both sides train the same tiny network on the same synthetic rooms from the same weights. The
published side has its own schedule, loss, augmentation and optimizer groups
(benchmarks/published_recipes.py); nothing of the runner is in it.
"""

import argparse
import json
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--methods', nargs='+', help='names of recipes; all by default')
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2], help='one pair of trainings each'
    )
    parser.add_argument('--iters', type=int, default=600, help='iterations of each training')
    parser.add_argument('--scenes', type=int, default=40, help='unseen scenes that are scored')
    parser.add_argument('--batch-size', type=int, default=4, help='images of a batch')
    parser.add_argument(
        '--keep',
        type=Path,
        help='folder of finished trainings, with which a stopped command goes on',
    )
    parser.add_argument(
        '--out', type=Path, help='write the numbers as JSON; losses go beside it, NAME_curves.json'
    )
    parser.add_argument('--picture', type=Path, help='write the loss curves as PNG')
    return parser.parse_args()


def main() -> None:
    """Train, compare, print and write."""
    args = parse_args()
    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from benchmarks import learning_curves
    from benchmarks.curves import draw_pairs
    from benchmarks.environment import environment
    from benchmarks.published_recipes import RECIPES
    from benchmarks.results import format_result, write_result

    methods = args.methods or list(RECIPES)
    for method in methods:
        if method not in RECIPES:
            raise ValueError(f'there is no recipe {method!r}, only {", ".join(RECIPES)}')
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    result = dict(mode='curves', config=', '.join(methods), environment=environment('cpu'))
    result |= learning_curves.run(
        methods, args.seeds, args.iters, args.scenes, args.batch_size, args.keep, say
    )
    curves = result.pop('curves')
    print(format_result(result))
    if args.out:
        write_result(result, args.out)
        rounded = {
            name: [[round(loss, 5) for loss in losses] for losses in runs]
            for name, runs in curves.items()
        }
        write_atomically(
            args.out.with_name(f'{args.out.stem}_curves.json'), json.dumps(rounded) + '\n'
        )
        print(f'written to {args.out}')
    if args.picture:
        draw_pairs(curves, methods, args.picture)


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


if __name__ == '__main__':
    run_tool(main)
