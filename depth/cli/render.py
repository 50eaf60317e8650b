"""Render synthetic scenes to disk in the layout of a real data set."""

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from depth.cli.common import command_parser

ROOTS = {
    'folder': 'data/folder',
    'nyu': 'data/nyu',
    'kitti': 'data/kitti',
    'kitti-raw-stereo': 'data/kitti_raw',
}

EXAMPLES = (
    'depth render --out data/folder --num-scenes 50',
    'depth render --layout kitti --num-scenes 4 --workers 2',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument(
        '--layout', choices=list(ROOTS), default='folder', help='which data set it looks like'
    )
    parser.add_argument(
        '--out', type=Path, help='folder that receives it, where the configs look by default'
    )
    parser.add_argument(
        '--num-scenes', type=int, default=10, help='scenes of the training split, or of --split'
    )
    parser.add_argument(
        '--num-test', type=int, help='scenes of each other split, a fifth of the former by default'
    )
    parser.add_argument('--seed', type=int, default=0, help='another seed gives other scenes')
    parser.add_argument(
        '--workers', type=int, default=1, help='processes; a KITTI frame takes one core for seconds'
    )
    folder = parser.add_argument_group('only with --layout folder')
    folder.add_argument(
        '--world', choices=['rooms', 'streets', 'desks'], help='which world, rooms by default'
    )
    folder.add_argument(
        '--split', choices=['train', 'val', 'test'], help='this one alone, right below --out'
    )
    folder.add_argument(
        '--image-size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help='96 128 by default'
    )
    folder.add_argument(
        '--focal',
        type=float,
        metavar='SHARE',
        help='focal length as a share of the width, that of the world by default; '
        'the scenes stay the same',
    )
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line and check which arguments go together."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.layout != 'folder' and (args.world or args.split or args.image_size or args.focal):
        parser.error(
            f'--world, --split, --image-size and --focal go with --layout folder, not {args.layout}'
        )
    if args.focal is not None and not 0 < args.focal < math.inf:
        parser.error(f'--focal is a share of the width above 0, got {args.focal}')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Render and write."""
    args = parse_args(argv)
    from mmengine.utils import ProgressBar

    from depth.data_tools.rendering import LAYOUTS, render_layout

    options = (
        dict(
            only=args.split,
            world=args.world,
            image_size=args.image_size,
            focal_share=args.focal,
        )
        if args.layout == 'folder'
        else {}
    )
    layout = LAYOUTS[args.layout](seed=args.seed, **options)
    num_test = args.num_test or max(args.num_scenes // 5, 1)
    counts = {split: args.num_scenes if split == 'train' else num_test for split in layout.SPLITS}
    if args.split:
        counts = {args.split: args.num_scenes}

    def show(scenes: Iterable, total: int) -> Iterator:
        bar = ProgressBar(total)
        for scene in scenes:
            bar.update()
            yield scene

    out = args.out or Path(ROOTS[args.layout])
    render_layout(layout, out, counts, args.workers, show)
    print(f'\n{out}: ' + ', '.join(f'{count} {split} scenes' for split, count in counts.items()))
    return 0
