"""Label a folder of images with a teacher, see docs/finetune.md."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import (
    add_cfg_options,
    add_device_option,
    add_trust_option,
    command_parser,
    parse_cfg_options,
)

EXAMPLES = (
    'depth label photos --checkpoint teacher.pth --out-dir labels',
    'depth label drive.mp4 --every 10 --checkpoint teacher.pth --out-dir labels --fov 70',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Label a folder of images, or a video, with a teacher; goes on where it '
        'stopped',
        allow_abbrev=False,
    )
    parser.add_argument(
        'input',
        type=Path,
        help='folder of images, searched with its sub-folders; or a video, whose frames are '
        'written to frames/ in --out-dir',
    )
    parser.add_argument('--every', type=int, default=1, help='of a video, label every n-th frame')
    parser.add_argument('--checkpoint', required=True, help="the teacher's checkpoint file")
    parser.add_argument(
        '--config', help='config, a path or a name (default: the config inside the checkpoint)'
    )
    add_trust_option(parser)
    parser.add_argument('--out-dir', required=True, type=Path, help='folder of the labels')
    add_device_option(parser)
    parser.add_argument(
        '--confidence',
        default='flip',
        choices=['flip', 'none'],
        help="'flip': agreement with the prediction of the mirrored image, at twice the time",
    )
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        '--intrinsics',
        nargs=4,
        type=float,
        metavar=('FX', 'FY', 'CX', 'CY'),
        help='camera of the images in pixels, for teachers that use it',
    )
    camera.add_argument(
        '--fov', type=float, metavar='DEGREES', help='horizontal field of view, instead'
    )
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Label the images; return 1 if one could not be labelled."""
    args = build_parser().parse_args(argv)
    import torch
    from rich.progress import track

    from depth.apis import init_model
    from depth.apis.pseudo_labels import PseudoLabeler
    from depth.apis.video_frames import VIDEO_SUFFIXES, extract_frames

    device = args.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model = init_model(
        args.config,
        args.checkpoint,
        device,
        parse_cfg_options(args.cfg_options),
        args.trust_module,
    )
    labeler = PseudoLabeler(model, args.out_dir, args.confidence, args.intrinsics, args.fov)
    images = args.input
    if images.suffix.lower() in VIDEO_SUFFIXES and not images.is_dir():
        images = args.out_dir / 'frames'
        count = sum(1 for _ in extract_frames(args.input, images, args.every))
        print(f'{count} frames of {args.input} in {images}')
    result = labeler.label(images, lambda pending: track(pending, description='labels'))
    print(
        f'{result["labelled"]} images labelled, {result["already_labelled"]} had a label, '
        f'{len(result["errors"])} failed; labels of type {labeler.type.value} in {args.out_dir}'
    )
    for message in result['errors'].values():
        print(f'error: {message}', file=sys.stderr)
    return 1 if result['errors'] else 0
