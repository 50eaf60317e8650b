"""Write a report of tests as one HTML file: ``depth report RESULTS...``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

EXAMPLES = (
    'depth report work_dirs/rooms --out report.html',
    'depth report work_dirs/a/test work_dirs/b/test --names base new --training work_dirs/a work_dirs/b',
    'depth report work_dirs/a/test --predictions work_dirs/a/predictions --dataset-config nyu_test',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Write a report of tests as one HTML file that opens offline. What is not '
        'available is left out, with the reason.',
    )
    parser.add_argument(
        'results',
        nargs='+',
        help='per_image.json, a result JSON in the same folder, a test folder or a work dir; the '
        'first is the one that the others are compared with',
    )
    parser.add_argument('--out', type=Path, default='report.html', help='HTML file')
    parser.add_argument('--names', nargs='+', default=[], help='name of each result')
    parser.add_argument(
        '--predictions',
        nargs='+',
        default=[],
        metavar='DIR',
        help='predictions of each result, as depth test --out writes them; needs --dataset-config',
    )
    parser.add_argument(
        '--dataset-config', help='config with the images and the ground truth of the predictions'
    )
    parser.add_argument(
        '--training',
        nargs='+',
        default=[],
        metavar='WORK_DIR',
        help="work dir of each result's training, for curves and config (default: that of the "
        'test)',
    )
    parser.add_argument(
        '--protocol', help="name of the protocol (default: each test's main protocol)"
    )
    parser.add_argument(
        '--scenes',
        metavar='REGEX',
        help="regular expression of the scene in an image's name (default: the data set's)",
    )
    parser.add_argument(
        '--num-images', type=int, default=4, help='number of worst images, and of median ones'
    )
    parser.add_argument(
        '--num-resamples',
        type=int,
        default=10_000,
        help='number of resamples of the bootstrap and the permutation test',
    )
    parser.add_argument('--level', type=float, default=0.95, help='coverage of the intervals')
    parser.add_argument('--title', default='Depth report', help='title of the page')
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report and print the sections that are not in it."""
    args = build_parser().parse_args(argv)
    from rich.progress import track

    from depth.apis.report import write_report

    left_out = write_report(
        args.results,
        args.out,
        names=args.names,
        protocol=args.protocol,
        predictions=args.predictions,
        dataset_config=args.dataset_config,
        cfg_options=parse_cfg_options(args.cfg_options),
        training=args.training,
        scenes=args.scenes,
        num_images=args.num_images,
        level=args.level,
        num_resamples=args.num_resamples,
        title=args.title,
        progress=lambda items: track(items, description='maps'),
    )
    for heading, reason in left_out:
        print(f'left out: {heading}: {reason}')
    print(f'report: {args.out}')
    return 0
