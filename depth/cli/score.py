"""Score files of predictions of any model: ``depth score PREDICTIONS --dataset-config CONFIG``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

EXAMPLES = (
    'depth score predictions --dataset-config kitti_eigen --protocol kitti_eigen_garg_80',
    'depth score predictions --dataset-config nyu --type affine_invariant_disparity --out score.json',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Score prediction files of any model against the ground truth of a data set',
        allow_abbrev=False,
    )
    parser.add_argument(
        'predictions',
        help='folder of npy, npz or 16-bit PNG files named like the images, or one npy or npz file',
    )
    parser.add_argument(
        '--dataset-config', required=True, help='config whose test data set has the ground truth'
    )
    parser.add_argument(
        '--protocol',
        help='name of the protocol, see docs/evaluation.md (default: that of the config)',
    )
    parser.add_argument(
        '--type',
        help='type of the predictions: metric, scale_invariant, affine_invariant, inverse_depth, '
        'disparity or affine_invariant_disparity (default: the one that their side-cars state, or '
        'metric)',
    )
    parser.add_argument(
        '--all-protocols',
        action='store_true',
        help='also score under every other protocol that applies',
    )
    parser.add_argument(
        '--depth-scale',
        type=float,
        help='stored values per metre (or per 1/m); overrides side-cars',
    )
    parser.add_argument(
        '--resize',
        choices=['bilinear', 'bilinear_corners'],
        help='resize predictions of another size under a protocol without a rule for it; shows in '
        'its name',
    )
    parser.add_argument(
        '--view',
        choices=['any', 'full', 'native', 'kb_crop'],
        help="view of the frames to score instead of the protocol's; shows in its name",
    )
    parser.add_argument(
        '--device', default='cpu', help="where metrics are computed: 'cpu' or 'cuda' (default: cpu)"
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help='score even if predictions are missing or their scale or direction is suspicious',
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='JSON file for the metrics; protocol and per-image values are written next to it',
    )
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Score the predictions and write the results."""
    args = build_parser().parse_args(argv)
    from rich.progress import track

    from depth.apis import score_predictions
    from depth.evaluation.report import json_text

    score = score_predictions(
        args.predictions,
        args.dataset_config,
        protocol=args.protocol,
        prediction_type=args.type,
        protocols='all' if args.all_protocols else (),
        depth_scale=args.depth_scale,
        resize=args.resize,
        view=args.view,
        device=args.device,
        force=args.force,
        cfg_options=parse_cfg_options(args.cfg_options),
        report=lambda text: print(f'note: {text}'),
        progress=lambda items: track(items, description='score'),
    )
    if args.out:
        # The metrics are written last, so that a result is never without its protocol.
        score.metric.write_protocol(args.out.with_suffix('.protocol.json'))
        score.metric.write_per_image(args.out.with_suffix('.per_image.json'))
        write_atomically(args.out, json_text(score.metrics, indent=2))
        print(f'written: {args.out}, and .protocol.json and .per_image.json beside it')
    return 0
