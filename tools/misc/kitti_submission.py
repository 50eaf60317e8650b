"""Pack predictions of one or more models for the KITTI depth prediction server, or check an archive."""

import argparse
from pathlib import Path

from depth.cli.common import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
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
        help='archive to write (default: submission.zip)',
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
        help='integers per metre of PNGs without a side-car JSON (default: 256)',
    )
    return parser.parse_args()


def main() -> int:
    """Check an archive, or write one."""
    args = parse_args()
    from mmengine.utils import track_iter_progress

    from depth.evaluation.kitti_submission import check_archive, pack_submission

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


if __name__ == '__main__':
    run_tool(main)
