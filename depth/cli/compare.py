"""Compare two test results image by image: ``depth compare A B``."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import command_parser

METRICS = ['abs_rel', 'rmse', 'silog', 'd1']

EXAMPLES = (
    'depth compare work_dirs/first work_dirs/second',
    'depth compare a/per_image.json b/per_image.json --metrics abs_rel d1 --out comparison.json',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description='Compare two test results image by image')
    parser.add_argument(
        'first',
        help='per_image.json, a result JSON in the same folder, a test folder or a work dir',
    )
    parser.add_argument('second', help='the other result, in the same forms')
    parser.add_argument(
        '--protocol', help="name of the protocol (default: the tests' main protocol)"
    )
    parser.add_argument('--metrics', nargs='+', default=METRICS, help='names of the metrics')
    parser.add_argument(
        '--num-resamples',
        type=int,
        default=10_000,
        help='number of resamples of the bootstrap and the permutation test',
    )
    parser.add_argument('--level', type=float, default=0.95, help='coverage of the intervals')
    parser.add_argument('--seed', type=int, default=0, help='seed of the resampling')
    parser.add_argument('--out', type=Path, help='JSON file for the comparison')
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Read both results, check that they are comparable, and print the comparison."""
    args = build_parser().parse_args(argv)
    from dataclasses import asdict

    from depth.evaluation.per_image import check_comparable, paired_values, read_per_image
    from depth.evaluation.statistics import compare_paired

    first, second = (read_per_image(path, args.protocol) for path in (args.first, args.second))
    check_comparable(first, second)
    protocol = first.protocol
    print(f'A: {first.path}\nB: {second.path}')
    print(
        f'protocol {protocol["name"]} v{protocol["version"]} ({protocol["fingerprint"]}), '
        f'{len(first.images)} images, {args.level:.0%} intervals, {args.num_resamples} resamples, '
        f'seed {args.seed}'
    )
    # Images are what is paired and resampled, whatever the protocol averages over.
    if protocol['average'] != 'image':
        print(
            f'note: compared by means over images, although the protocol averages otherwise '
            f'({protocol["average"]})'
        )
    content = dict(
        protocol=protocol,
        level=args.level,
        num_resamples=args.num_resamples,
        seed=args.seed,
        metrics={},
    )
    print(f'{"":>10} {"A":>26} {"B":>26} {"B - A":>28} {"p":>7}  B lower')
    for metric in args.metrics:
        first_values, second_values = paired_values(first, second, metric)
        result = compare_paired(
            first_values,
            second_values,
            num_resamples=args.num_resamples,
            level=args.level,
            seed=args.seed,
        )
        cells = [
            f'{interval.mean:8.4f} [{interval.low:7.4f}, {interval.high:7.4f}]'
            for interval in (result.first, result.second, result.difference)
        ]
        print(
            f'{metric:>10} {cells[0]:>26} {cells[1]:>26} {cells[2]:>28} {result.p_value:7.4f}  '
            f'{result.wins:.0%}'
        )
        content['metrics'][metric] = asdict(result)
    if args.out:
        write_atomically(args.out, json.dumps(content, indent=2) + '\n')
    return 0
