"""Put the frames of a data set into a few files that are several times faster to decode, without loss.

Train from it with --cfg-options train_dataloader.dataset.pack=data/packs/kitti_train. JPEG files
are kept as they are, other images and depth maps become zstd records (needs the library zstandard).
docs/benchmarks.md says what it gains. --format wds writes tar shards instead, which are read from a
web server or object store too (docs/shards.md).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

if TYPE_CHECKING:
    from torch.utils.data import Dataset

EXAMPLES = (
    'depth pack kitti_eigen --out data/packs/kitti_train',
    'depth pack kitti_eigen --out data/packs/kitti_val --key val_dataloader.dataset',
    'depth pack --verify data/packs/kitti_train',
    'depth pack kitti_eigen --format wds --out data/shards/kitti_train',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument('config', nargs='?', help='config that holds the data set')
    parser.add_argument('--out', type=Path, help='folder of the pack; it must not exist')
    parser.add_argument(
        '--key',
        default='train_dataloader.dataset',
        help='which data set of the config; train_dataloader.dataset.datasets.0 is the first of a '
        'mixture',
    )
    parser.add_argument('--workers', type=int, default=0, help='processes that read and encode')
    parser.add_argument(
        '--format',
        choices=('pack', 'wds'),
        default='pack',
        help='a pack, or tar shards as WebDataset reads them',
    )
    parser.add_argument(
        '--shard-mb',
        type=int,
        help='size of a file, in megabytes (default: 1024, of tar shards 256)',
    )
    parser.add_argument(
        '--verify',
        type=Path,
        metavar='PACK',
        help='only compare the hashes of a pack, or of shards, with its index',
    )
    add_cfg_options(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line and check which arguments go together."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if not args.verify and (not args.config or not args.out):
        parser.error('CONFIG and --out are needed to write a pack, --verify PACK to check one')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check a pack."""
    args = parse_args(argv)
    if args.verify:
        problems = verify(args.verify)
        print('\n'.join(problems) or f'{args.verify}: every file is as it was written')
        return int(bool(problems))
    if args.format == 'wds':
        report_shards(args)
        return 0
    index = write(args)
    size = sum(shard['size'] for shard in index['shards'])
    print(
        f'{len(index["samples"])} samples, {size / 1e6:.1f} MB in {len(index["shards"])} files, in '
        f'{args.out}'
    )
    print(f'use it with --cfg-options {args.key}.pack={args.out}')
    return 0


def verify(folder: Path) -> list[str]:
    """Return what is wrong with a pack or with shards, in words."""
    from depth.data_tools.shard_writer import verify_shards
    from depth.datasets import packs, shards

    if (folder / shards.INDEX).is_file():
        return verify_shards(folder)
    return packs.verify(folder)


def write(args: argparse.Namespace) -> dict:
    """Write the pack and return its index."""
    from depth.data_tools.pack_writer import write_pack
    from depth.datasets.base import BaseDepthDataset

    dataset = build_dataset(args)
    if not isinstance(dataset, BaseDepthDataset):
        raise ValueError(
            f'{args.key} is a {type(dataset).__name__}; name one of its data sets on disk with '
            '--key'
        )
    return write_pack(dataset, args.out, (args.shard_mb or 1024) << 20, args.workers, progress)


def report_shards(args: argparse.Namespace) -> None:
    """Write tar shards and say how to read them."""
    from depth.data_tools.shard_writer import write_shards

    dataset = build_dataset(args)
    index = write_shards(dataset, args.out, (args.shard_mb or 256) << 20, args.workers, progress)
    size = sum(shard.size for shard in index.shards)
    number = '1 shard' if len(index.shards) == 1 else f'{len(index.shards)} shards'
    print(f'{len(dataset)} samples, {size / 1e6:.1f} MB in {number}, in {args.out}')
    print(
        f"read them with dataset=dict(type='ShardDataset', shards='{args.out}', pipeline=...) and "
        "sampler=dict(type='ShardSampler') in the config (docs/shards.md)"
    )


def build_dataset(args: argparse.Namespace) -> 'Dataset':
    """Return the data set that ``--key`` names, without its pipeline.

    Raises:
        ValueError: If there is none, or it is a mixture.
    """
    from depth.engine.config import load_config
    from depth.registry import DATASETS

    node = load_config(args.config, parse_cfg_options(args.cfg_options))
    for name in args.key.split('.'):
        node = node[int(name)] if isinstance(node, list) else node.get(name)
        if node is None:
            raise ValueError(f'--key {args.key}: the config has no {name!r} there')
    if node.get('datasets'):
        raise ValueError(
            f'{args.key} is a {node.get("type")}; name one of its data sets with --key, such as '
            f'{args.key}.datasets.0'
        )
    return DATASETS.build(dict(node, pipeline=[]))


def progress(count: int, total: int) -> None:
    """Show how far the work is, on a terminal."""
    if sys.stderr.isatty():
        end = '\n' if count == total else ''
        print(f'\rpacked {count}/{total}', end=end, file=sys.stderr, flush=True)
