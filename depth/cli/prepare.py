"""Prepare a data set: download, unpack, arrange, fetch or build its split files."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from depth.cli.common import command_parser

EXAMPLES = (
    'depth prepare nyu --dry-run',
    'depth prepare kitti_eigen --root data/kitti --raw /data/kitti_raw',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument(
        'name',
        metavar='NAME',
        help='data set: first column of the table in docs/dataset_prepare.md',
    )
    parser.add_argument(
        '--root', type=Path, help='folder of the data set (default: the one that the configs read)'
    )
    parser.add_argument(
        '--parts', nargs='+', default=[], help='only these parts; --dry-run names them'
    )
    parser.add_argument(
        '--archives',
        type=Path,
        help='folder of archives, also ones that you have (default: ROOT/archives)',
    )
    parser.add_argument('--splits', type=Path, help='take published split files from this folder')
    parser.add_argument(
        '--raw', type=Path, help='kitti_eigen, kitti_benchmark: link this copy of KITTI raw'
    )
    parser.add_argument(
        '--jpg', action='store_true', help='kitti_raw: convert PNG to JPEG, a tenth of the space'
    )
    parser.add_argument(
        '--delete-archives', action='store_true', help='remove each archive once it is unpacked'
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='print the steps, without a connection'
    )
    parser.add_argument('--yes', action='store_true', help='do not ask before a large download')
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line and check which arguments go together."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.jpg and args.name != 'kitti_raw':
        parser.error('--jpg goes with kitti_raw')
    if args.raw and args.name not in ('kitti_eigen', 'kitti_benchmark'):
        parser.error('--raw goes with kitti_eigen and kitti_benchmark')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare one data set."""
    args = parse_args(argv)
    from depth.data_tools.prepare import Options, build_preparer

    options = Options(
        root=args.root,
        parts=args.parts,
        archives=args.archives,
        splits=args.splits,
        raw=args.raw,
        jpg=args.jpg,
        delete_archives=args.delete_archives,
        yes=args.yes,
    )
    preparer = build_preparer(args.name, options, ask=ask, progress=show_bytes)
    dataset = preparer.dataset
    # Printed before anything is asked, downloaded or written.
    print('\n'.join(preparer.plan()))
    if dataset.PARTS:
        parts = [f'{name} ({description})' for name, description in dataset.PARTS.items()]
        print(f'parts: {", ".join(parts)}; chosen: {", ".join(preparer.parts)}')
    if args.dry_run:
        return 0
    preparer.run()
    config = f'configs/_base_/datasets/{dataset.CONFIGS[0]}'
    print(f'now check it: python tools/analysis_tools/check_dataset.py {config}')
    return 0


def ask(question: str) -> bool:
    """Ask on a terminal; elsewhere the answer is no."""
    return sys.stdin.isatty() and input(f'{question} [y/N] ').strip().lower() in ('y', 'yes')


def show_bytes(name: str) -> Callable[[int, int | None], None]:
    """Return a callback that prints the progress of one file, at most four times a second."""
    started, shown = time.monotonic(), 0.0

    def show(received: int, total: int | None) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < 0.25 and received != total:
            return
        shown = now
        speed = received / max(now - started, 1e-3)
        share = f' of {total / 1e6:.1f} ({received / total:.0%})' if total else ''
        end = '\n' if received == total else ''
        print(
            f'\r{name}: {received / 1e6:.1f}{share} MB, {speed / 1e6:.1f} MB/s', end=end, flush=True
        )

    return show
