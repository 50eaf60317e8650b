"""Say what reproduces an entry of the model zoo, run it, and judge the result: ``depth reproduce NAME``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import (
    add_launch_options,
    add_verbosity_options,
    command_parser,
    set_local_rank,
)

EXAMPLES = (
    'depth reproduce depthformer_swint_w7_nyu',
    'depth reproduce dinov3_dpt_micro_rooms --run',
    'depth reproduce adabins_efnetb5ap_nyu_24e --run --checkpoint converted.pth',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Print the expected number of an entry of the model zoo, its data, weights, '
        'recipe and commands; with --run also train and test it, and compare the result with that '
        'number.',
        allow_abbrev=False,
    )
    parser.add_argument('name', help='name of a shipped config (depth list)')
    parser.add_argument('--run', action='store_true', help='train and test, then judge')
    parser.add_argument(
        '--checkpoint', type=Path, help='with --run: test this checkpoint, train nothing'
    )
    parser.add_argument(
        '--work-dir', type=Path, help='folder (default: work_dirs/reproduce/<name>)'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the training')
    add_verbosity_options(parser)
    add_launch_options(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='replace values of the config, such as data_root=/data/nyu; the report names them',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the facts; with --run return 1 unless every expected number was reproduced."""
    args = build_parser().parse_args(argv)
    set_local_rank(args)
    from depth.apis.reproduce import describe, find_entry, reproduce

    entry = find_entry(args.name, args.cfg_options)
    work_dir = args.work_dir or Path('work_dirs', 'reproduce', args.name)
    for line in describe(entry, work_dir):
        print(line)
    if not args.run:
        return 0
    code, judgements = reproduce(
        entry,
        work_dir,
        checkpoint=args.checkpoint,
        seed=args.seed,
        launcher=args.launcher,
    )
    if code:
        return code
    for item in judgements:
        print(
            f'{item.verdict}: {item.metric} {item.value:.4f}, expected {item.expected:g} '
            f'± {item.tolerance:.2g}'
        )
        # More often a protocol that is easier than the published one than a better model.
        if item.verdict == 'better':
            print('check data and protocol: better than expected by more than the tolerance')
    if not judgements:
        print('not judged: no number is recorded for this entry')
    return int(any(item.verdict != 'reproduced' for item in judgements))
