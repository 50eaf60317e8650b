"""Join a sharded checkpoint into one file, or divide one file into a sharded checkpoint."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import command_parser

EXAMPLES = (
    'depth convert-checkpoint work_dirs/vit7b/iter_1000.pth whole.pth',
    'depth convert-checkpoint whole.pth sharded.pth --to sharded',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument(
        'src', type=Path, help='checkpoint of a training; a sharded one lies beside its folder'
    )
    parser.add_argument('dst', type=Path, help='file of the result, with the ending .pth')
    parser.add_argument(
        '--to',
        choices=['full', 'sharded'],
        default='full',
        help='full: one file, which every command reads; sharded: that file and a folder (.shards) '
        'of tensors',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, and print the files of the result."""
    args = build_parser().parse_args(argv)
    from depth.engine.checkpoint import load_checkpoint_file, save_atomically
    from depth.engine.sharded_checkpoint import shards_folder, write_whole_as_sharded

    if args.dst.suffix != '.pth':
        raise ValueError(f'the result is a file that ends in .pth, got {args.dst}')
    if args.dst.exists() or shards_folder(args.dst).exists():
        raise ValueError(
            f'{args.dst} or {shards_folder(args.dst)} exists already; remove both or name another '
            'file'
        )
    checkpoint = load_checkpoint_file(args.src)
    if args.to == 'sharded':
        if 'state_dict' not in checkpoint:
            raise ValueError(f'{args.src} holds weights alone, not a checkpoint of a training')
        checkpoint = write_whole_as_sharded(checkpoint, args.dst)
    save_atomically(checkpoint, args.dst, verify=True)
    print(f'wrote {args.dst}')
    if args.to == 'sharded':
        print(f'wrote {shards_folder(args.dst)}')
    return 0
