"""Write a training checkpoint for deployment: weights alone, LoRA merged, under plain names."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import add_trust_option, command_parser

EXAMPLES = ('depth publish work_dirs/first/iter_38400.pth model.pth',)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument('src', type=Path, help='checkpoint of a training, such as iter_N.pth')
    parser.add_argument('dst', type=Path, help='file of the result')
    add_trust_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file and print its size."""
    args = build_parser().parse_args(argv)
    from mmengine.registry import init_default_scope

    from depth.engine.deployment import write_deployment_checkpoint

    init_default_scope('depth')
    count = write_deployment_checkpoint(args.src, args.dst, tuple(args.trust_module))
    size = args.dst.stat().st_size / 1e6
    print(f'wrote {args.dst}: {count} weights and buffers, {size:.1f} MB')
    return 0
