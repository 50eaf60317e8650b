"""Export a model: ``depth export CHECKPOINT --out FILE`` and ``python tools/export.py``."""

import argparse
from collections.abc import Sequence

from depth.cli.common import add_cfg_options, add_trust_option, command_parser, parse_cfg_options

FORMATS = ('onnx', 'torch_export', 'torchscript')
EXAMPLES = (
    'depth export iter_38400.pth --out model.onnx',
    'depth export iter_38400.pth --out model.onnx --dynamic --frames photos/',
    'depth export iter_38400.pth --out model.onnx --input rgb --resize 480 640',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Write a model for another runtime, and check that it predicts the same: exit '
        'code 1 and FILE.failed if it does not',
        allow_abbrev=False,
    )
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--config', help='config file (default: the config inside the checkpoint)')
    parser.add_argument(
        '--format',
        choices=FORMATS,
        default='onnx',
        help='format of the file, with suffix .onnx, .pt2 or .ts',
    )
    parser.add_argument('--out', required=True, help='the file; reports are written beside it')
    parser.add_argument(
        '--input',
        choices=['normalized', 'bgr', 'rgb'],
        default='normalized',
        help='float32 (1, 3, H, W) as the preprocessor gives it, or uint8 (1, H, W, 3) in this '
        'channel order, normalised inside',
    )
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the images (default: that of the first frame)',
    )
    parser.add_argument(
        '--dynamic',
        action='store_true',
        help='images of any size that the network takes (default: of one size)',
    )
    parser.add_argument(
        '--resize',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='resize images of any size to this one inside, and predictions back (with --input bgr '
        'or rgb)',
    )
    parser.add_argument(
        '--clamp',
        action='store_true',
        help='clamp metric depth to the depth range after every resize',
    )
    parser.add_argument(
        '--intrinsics',
        action='store_true',
        help='make the camera an input of methods that can do without; where they cannot, it '
        'always is one',
    )
    parser.add_argument('--opset', type=int, default=17, help='ONNX operator set, 16 to 20')
    parser.add_argument(
        '--frames',
        nargs='+',
        metavar='PATH',
        help='images, folders or globs for the parity report (default: the first of the test set '
        'of the config, or rendered rooms)',
    )
    add_trust_option(parser)
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Export and print the parity report; return 1 if parity does not hold."""
    args = build_parser().parse_args(argv)
    # Imported late, so that --help and wrong arguments answer at once.
    from depth.apis.export import export_model
    from depth.apis.export_parity import format_report

    report = export_model(
        args.checkpoint,
        args.out,
        config=args.config,
        file_format=args.format,
        inputs=args.input,
        size=None if args.size is None else tuple(args.size),
        resize=None if args.resize is None else tuple(args.resize),
        dynamic=args.dynamic,
        clamp=args.clamp,
        intrinsics=args.intrinsics,
        opset=args.opset,
        frames=args.frames,
        cfg_options=parse_cfg_options(args.cfg_options),
        trusted_modules=args.trust_module,
    )
    print(format_report(report), end='')
    return 0 if report['passed'] else 1
