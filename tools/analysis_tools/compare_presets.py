"""Compare every preset (bf16, compile, channels-last, ...) with float32: depth, loss curves, final metrics.

python tools/analysis_tools/compare_presets.py                      # the tiny DepthFormer, 300 iterations, 3 seeds
python tools/analysis_tools/compare_presets.py CONFIG --presets bf16 compile --shape 64 96 --batch-size 4

Everything is trained on synthetic scenes. The baseline, fp32, is eager, float32 without TF32, with
deformable attention by grid_sample. Whatever comes out is reported: inside the spread of the
baseline's seeds or not.
"""

import argparse
import json
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool

TINY = 'configs/synthetic/depthformer_tiny_rooms.py'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='?', default=TINY, help='config on synthetic scenes')
    parser.add_argument('--presets', nargs='+', help='all that the device can do by default')
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2], help='one training a preset and seed'
    )
    parser.add_argument('--iters', type=int, default=300, help='iterations of each training')
    parser.add_argument(
        '--scenes', type=int, default=40, help='unseen scenes that are predicted and scored'
    )
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help="size of the images, the config's if not",
    )
    parser.add_argument('--batch-size', type=int, help="images of a batch, the config's if not")
    parser.add_argument('--device', help='cpu or cuda; cuda if there is one')
    parser.add_argument(
        '--keep',
        type=Path,
        help='folder of finished trainings, with which a stopped command goes on',
    )
    parser.add_argument(
        '--seconds', type=float, help='begin no training after so long; presets left out are named'
    )
    parser.add_argument(
        '--out', type=Path, help='write the numbers as JSON; losses go beside it, NAME_curves.json'
    )
    parser.add_argument('--picture', type=Path, help='write the loss curves as PNG')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Train, compare, print and write."""
    args = parse_args()
    import torch

    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from benchmarks import Spec, quality
    from benchmarks.curves import draw_curves
    from benchmarks.environment import environment
    from benchmarks.presets import choose
    from benchmarks.results import format_result, write_result

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    spec = Spec(
        config=args.config,
        options=parse_cfg_options(args.cfg_options),
        shape=tuple(args.shape) if args.shape else None,
        batch_size=args.batch_size,
        device=device,
    )
    presets, left_out = choose(args.presets, device)
    result = dict(mode='presets', config=args.config, environment=environment(device))
    result |= quality.run(
        spec,
        presets,
        args.seeds,
        args.iters,
        args.scenes,
        args.keep,
        say,
        seconds=args.seconds,
    )
    result['left_out'] |= left_out
    curves = result.pop('curves')
    print(format_result(result))
    if args.out:
        write_result(result, args.out)
        write_atomically(
            args.out.with_name(f'{args.out.stem}_curves.json'), json.dumps(curves) + '\n'
        )
        print(f'written to {args.out}')
    if args.picture:
        draw_curves(curves, args.seeds, args.picture)


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


if __name__ == '__main__':
    run_tool(main)
