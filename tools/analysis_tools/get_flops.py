"""Count parameters and FLOPs of a config's model, without data, weights or a GPU.

python tools/analysis_tools/get_flops.py configs/dpt/dpt_vit-b16_nyu.py --shape 480 640
"""

import argparse
import json
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        default=(480, 640),
        metavar=('H', 'W'),
        help='size of the image in pixels (default: 480 640)',
    )
    parser.add_argument('--out', type=Path, help='JSON file for the numbers (default: none)')
    parser.add_argument(
        '--device',
        choices=('meta', 'cpu'),
        default='meta',
        help='meta (default) computes with shapes only; cpu runs the model, if its forward pass depends on values',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Print the table and write the JSON file."""
    args = parse_args()
    import torch

    from depth.engine.complexity import format_complexity, measure_complexity
    from depth.engine.config import load_config
    from depth.engine.config_check import check_config
    from depth.engine.converters.convert import build_without_weights

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    check_config(cfg)
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


if __name__ == '__main__':
    run_tool(main)
