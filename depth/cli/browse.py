"""Draw samples of a config's data set before and after augmentation, with their ground truth."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

EXAMPLES = (
    'depth browse nyu --num 4 --repeats 3',
    'depth browse CONFIG.py --split test --indices 0 17 --out-dir pictures',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument('config', help='config: a path, or the name of a shipped one (depth list)')
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='train',
        help='data loader',
    )
    parser.add_argument(
        '--num',
        type=int,
        default=8,
        help='number of samples, evenly spread',
    )
    parser.add_argument(
        '--indices',
        type=int,
        nargs='+',
        help='indices of the samples, instead of --num',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=1,
        help='augmented copies per sample',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='random seed of the augmentation',
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/browse'),
        help='folder of the pictures',
    )
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pictures and print their paths."""
    args = build_parser().parse_args(argv)
    from depth.apis.browse import browse_dataset
    from depth.engine.config import load_config
    from depth.engine.config_check import check_data_paths

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    loader = f'{args.split}_dataloader'
    if not cfg.get(loader):
        raise ValueError(f'{args.config} has no {loader}')
    check_data_paths(cfg, [loader])
    for path in browse_dataset(
        cfg[loader].dataset, args.out_dir, args.indices, args.num, args.repeats, args.seed
    ):
        print(path)
    return 0
