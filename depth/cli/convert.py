"""Convert a published checkpoint to the names of this toolbox; every weight has to fit."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import command_parser

EXAMPLES = (
    'depth convert depthformer depthformer_swint_w7_nyu.pth converted.pth',
    'depth convert depth_anything_v2 depth_anything_v2_vits.pth converted.pth --config depth_anything_v2_vits_relative',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument(
        'method',
        help='method of the checkpoint, such as depthformer; an unknown name prints the list',
    )
    parser.add_argument('src', type=Path, help='published checkpoint; nothing in it is executed')
    parser.add_argument('dst', type=Path, help='file of the converted checkpoint')
    parser.add_argument(
        '--config',
        help='config whose model the weights have to fill (default: the shipped configs)',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, and print the configs that the result fits."""
    args = build_parser().parse_args(argv)
    from depth.engine.converters import find_source, write_converted

    fitting = write_converted(args.method, args.src, args.dst, config=args.config)
    print(f'wrote {args.dst}')
    for name, text in find_source(args.method).licences().items():
        print(f'{name.replace("_", " ")}: {text}')
    if not fitting:
        print(
            'it is an encoder without a head; start a training from it with '
            'model.backbone.checkpoint=FILE'
        )
    elif len(fitting) == 1:
        print(f'it fills, and carries, {fitting[0]}')
    else:
        names = '\n  '.join(map(str, fitting))
        print(f'it fills these configs; name one with --config to store it in the file:\n  {names}')
    return 0
