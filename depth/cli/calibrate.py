"""Fit the depth scale of a checkpoint to a few labelled images: ``depth calibrate CHECKPOINT --out FILE``."""

import argparse
from collections.abc import Sequence

from depth.cli.common import add_cfg_options, add_trust_option, command_parser, parse_cfg_options

EXAMPLES = (
    'depth calibrate work_dirs/first/iter_38400.pth --out calibrated.pth',
    'depth calibrate model.pth --dataset-config my_camera.py --split train --num-images 40 --out calibrated.pth',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Fit the scale of a metric model to labelled images of a camera and store it '
        'in the checkpoint',
        allow_abbrev=False,
    )
    parser.add_argument('checkpoint', help='checkpoint file of a metric model')
    parser.add_argument('--out', required=True, help='file of the calibrated checkpoint')
    parser.add_argument(
        '--dataset-config',
        help='path or name of a config whose data set has the labelled images (default: the config '
        'inside the checkpoint)',
    )
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='val',
        help='data set of the config to take them from; do not test on the images of a calibration',
    )
    parser.add_argument('--num-images', type=int, default=20, help='number of labelled images')
    parser.add_argument(
        '--kind',
        choices=['auto', 'scale', 'log_scale_shift', 'inverse_scale_shift'],
        default='auto',
        help='function that is fitted; auto: the simplest within one standard error of the best',
    )
    parser.add_argument('--device', default='cpu', help="'cuda' or 'cpu'")
    parser.add_argument('--seed', type=int, default=0, help='of the choice of images')
    add_trust_option(parser)
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate, and print the cross-validated error of each kind."""
    args = build_parser().parse_args(argv)
    from rich.progress import track

    from depth.apis.calibrate import calibrate

    result = calibrate(
        args.checkpoint,
        args.out,
        args.dataset_config,
        split=args.split,
        num_images=args.num_images,
        kind=args.kind,
        device=args.device,
        cfg_options=parse_cfg_options(args.cfg_options),
        trusted_modules=args.trust_module,
        progress=lambda indices: track(indices, description='calibrate'),
        seed=args.seed,
    )
    print(result.table())
    print(f'wrote {args.out}; inference and tests with it apply the calibration and say so')
    return 0
