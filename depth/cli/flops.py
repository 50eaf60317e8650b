"""Count parameters and FLOPs of a config's model, without data, weights or a GPU."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

EXAMPLES = (
    'depth flops dpt_vit-b16_nyu --shape 480 640',
    'depth flops CONFIG.py --shape 352 1216 --out cost.json',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument('config', help='config: a path, or the name of a shipped one (depth list)')
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        default=(480, 640),
        metavar=('H', 'W'),
        help='size of the image in pixels',
    )
    parser.add_argument('--out', type=Path, help='JSON file for the numbers')
    parser.add_argument(
        '--device',
        choices=('meta', 'cpu'),
        default='meta',
        help='meta computes with shapes only; cpu runs the model, if its forward pass depends on '
        'values',
    )
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and write the JSON file."""
    args = build_parser().parse_args(argv)
    import torch

    from depth.engine.complexity import format_complexity, measure_complexity
    from depth.engine.config import load_config
    from depth.engine.config_check import check_config
    from depth.engine.converters.convert import build_without_weights

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    check_config(cfg)
    # On the meta device tensors have a shape and no memory, so every model fits.
    with torch.device(args.device):
        model = build_without_weights(cfg)
    measured = measure_complexity(model, tuple(args.shape), args.device)
    print(args.config)
    print(format_complexity(measured))
    if args.out:
        write_atomically(
            args.out, json.dumps(dict(config=args.config, **measured), indent=2) + '\n'
        )
        print(f'written to {args.out}')
    return 0
