"""Check the data sets of a config: files, sizes, scale, pairs, duplicates, leakage, counts, cameras.

The exit code is 1 if there is an error.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

EXAMPLES = (
    'depth check densedepth_r18_folder --cfg-options train_root=rooms/train val_root=rooms/val',
    'depth check kitti_eigen --full --out report.json',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument('config', help='config: a path, or the name of a shipped one (depth list)')
    parser.add_argument('--full', action='store_true', help='decode every image and depth map')
    parser.add_argument(
        '--decode', type=int, default=200, help='pairs to decode in each split without --full'
    )
    parser.add_argument('--workers', type=int, help='threads, four a core by default')
    parser.add_argument('--out', type=Path, help='also write the report as JSON')
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Examine, print the report."""
    args = build_parser().parse_args(argv)
    from mmengine.utils import ProgressBar

    from depth.data_tools.doctor import examine, format_report
    from depth.engine.config import load_config

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))

    def show(records: Iterable, total: int | None) -> Iterator:
        # A config without files on disk has nothing to count.
        bar = ProgressBar(total) if total else None
        for record in records:
            bar.update()
            yield record
        print('\n')

    report = examine(cfg, args.full, args.decode, args.workers, show)
    print(format_report(report))
    if args.out:
        write_atomically(args.out, json.dumps(report.as_dict(), indent=2) + '\n')
    return int(report.failed)
