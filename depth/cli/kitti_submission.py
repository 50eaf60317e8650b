"""Pack predictions of one or more models for the KITTI depth prediction server, or check an archive."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import command_parser

EXAMPLES = (
    'depth kitti-submission predictions --out submission.zip',
    'depth kitti-submission first second --weights 2 1 --log-depth',
    'depth kitti-submission submission.zip',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument(
        'predictions',
        type=Path,
        nargs='+',
        help='one folder of 500 predictions per model; or one zip',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('submission.zip'),
        help='archive to write',
    )
    parser.add_argument(
        '--weights',
        type=float,
        nargs='+',
        help='weight of each model in the average (default: equal)',
    )
    parser.add_argument(
        '--log-depth',
        action='store_true',
        help='average log depth instead of depth in metres',
    )
    parser.add_argument(
        '--depth-scale',
        type=float,
        default=256.0,
        help='integers per metre of PNGs without a side-car JSON',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Check an archive, or write one."""
    args = build_parser().parse_args(argv)
    from mmengine.utils import track_iter_progress

    from depth.evaluation.kitti_submission import check_archive, pack_submission

    # A zip file is an archive to check; everything else holds predictions to pack.
    if len(args.predictions) == 1 and args.predictions[0].suffix == '.zip':
        problems, notes = check_archive(args.predictions[0])
        print('\n'.join([f'error: {problem}' for problem in problems] + notes))
        return int(bool(problems))
    notes = pack_submission(
        args.predictions,
        args.out,
        args.weights,
        args.log_depth,
        args.depth_scale,
        track_iter_progress,
    )
    print(
        '\n'
        + '\n'.join([f'{args.out}: 500 files, {args.out.stat().st_size / 2**20:.1f} MiB', *notes])
    )
    return 0
