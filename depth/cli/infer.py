"""Predict depth for images: ``depth infer INPUT --checkpoint CHECKPOINT --out-dir DIR``."""

import argparse
import sys
from collections.abc import Sequence

from depth.cli.common import (
    add_backend_option,
    add_cfg_options,
    add_device_option,
    add_trust_option,
    command_parser,
    parse_cfg_options,
)
from depth.cli.picture_options import add_picture_options, add_video_options, run_inference

EXAMPLES = (
    'depth infer photos --checkpoint model.pth --out-dir depth_maps',
    'depth infer room.jpg --checkpoint model.pth --out-dir out --outputs png ply --fov 60',
    'depth infer model.onnx photos --out-dir depth_maps',
    "depth infer 'frames/*.png' --config CONFIG.py --checkpoint model.pth --out-dir out --device cuda",
    'depth infer ride.mp4 --checkpoint model.pth --out-dir out --align-scale --batch-size 8',
    'depth infer photos --checkpoint completion.pth --out-dir out --sparse-depth scans --sparse-scale 256',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description='Predict depth for images', allow_abbrev=False)
    parser.add_argument(
        'input', help='image, folder, glob (in quotes), video file or index of a camera'
    )
    parser.add_argument(
        '--config', help='config, a path or a name (default: the config inside the checkpoint)'
    )
    parser.add_argument('--checkpoint', required=True, help='checkpoint file')
    add_trust_option(parser)
    parser.add_argument('--out-dir', required=True, help='folder of the results')
    add_device_option(parser)
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        '--intrinsics',
        nargs=4,
        type=float,
        metavar=('FX', 'FY', 'CX', 'CY'),
        help='camera of the images in pixels, for point clouds and methods that use the camera',
    )
    camera.add_argument(
        '--fov',
        type=float,
        metavar='DEGREES',
        help='horizontal field of view, instead',
    )
    parser.add_argument(
        '--sparse-depth',
        metavar='FILE_OR_FOLDER',
        help='measured points for a model that takes them: a map of the size of the image, 0 = no '
        'point, metres (npy, npz, tiff) or integers (png, tiff; --sparse-scale); a folder with '
        'files named like the images',
    )
    parser.add_argument(
        '--sparse-scale',
        type=float,
        metavar='N',
        help='stored integers per metre of --sparse-depth: 256 for KITTI, 1000 for millimetres',
    )
    add_picture_options(parser)
    add_video_options(parser)
    add_backend_option(parser)
    add_cfg_options(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` is that of the process by default."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0].endswith('.onnx'):  # depth infer MODEL.onnx INPUT
        words.insert(0, '--checkpoint')
    return build_parser().parse_args(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Predict and write the results; return 1 if an input could not be processed."""
    args = parse_args(argv)
    from depth.apis import DepthInferencer

    inferencer = DepthInferencer(
        model=args.config,
        weights=args.checkpoint,
        device=args.device,
        cfg_options=parse_cfg_options(args.cfg_options),
        trusted_modules=args.trust_module,
    )
    return run_inference(inferencer, args)
