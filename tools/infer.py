"""Predict depth for images: python tools/infer.py INPUT --checkpoint CHECKPOINT --out-dir DIR."""

import argparse

from depth.cli.common import add_backend_option, add_cfg_options, parse_cfg_options, run_tool
from depth.cli.picture_options import add_picture_options, add_video_options, run_inference


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Predict depth for images', allow_abbrev=False)
    parser.add_argument(
        'input', help='image, folder, glob (in quotes), video file or index of a camera'
    )
    parser.add_argument('--config', help='config file (default: the config inside the checkpoint)')
    parser.add_argument('--checkpoint', required=True, help='checkpoint file')
    parser.add_argument(
        '--trust-module',
        action='append',
        default=[],
        metavar='MODULE',
        help="module or package outside the toolbox that the checkpoint's config may import (repeatable)",
    )
    parser.add_argument('--out-dir', required=True, help='folder of the results')
    parser.add_argument(
        '--device',
        default='auto',
        help="'cuda', 'cpu' or 'auto': a GPU if there is one (default)",
    )
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
    add_picture_options(parser)
    add_video_options(parser)
    add_backend_option(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Predict and write the results; return 1 if an input could not be processed."""
    args = parse_args()
    from depth.apis import DepthInferencer

    inferencer = DepthInferencer(
        model=args.config,
        weights=args.checkpoint,
        device=args.device,
        cfg_options=parse_cfg_options(args.cfg_options),
        trusted_modules=args.trust_module,
    )
    return run_inference(inferencer, args)


if __name__ == '__main__':
    run_tool(main)
