"""Serve a model: ``depth serve CHECKPOINT`` opens a page and an HTTP endpoint."""

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

EXAMPLES = (
    'depth serve work_dirs/rooms/iter_600.pth',
    'depth serve my_model/ --port 8000 --no-page',
    'depth serve model.onnx --examples photos',
)
LOOPBACK = ('127.0.0.1', 'localhost', '::1')


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES, description='Serve a model as a page and an HTTP endpoint', allow_abbrev=False
    )
    parser.add_argument(
        'checkpoint',
        help='checkpoint or exported file, folder of save_pretrained, or name of published weights',
    )
    parser.add_argument('--config', help='config file (default: the config inside the checkpoint)')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on (127.0.0.1 is this machine alone; there is no password)',
    )
    parser.add_argument('--port', type=int, default=7860, help='port; 0 takes a free one')
    parser.add_argument('--no-page', action='store_true', help='serve the HTTP endpoint alone')
    parser.add_argument(
        '--examples', help='folder of example frames for the page (default: rendered ones)'
    )
    add_device_option(parser)
    parser.add_argument(
        '--max-megabytes',
        type=float,
        default=20,
        help='size of an image file at most, in 10^6 bytes',
    )
    parser.add_argument(
        '--max-megapixels',
        type=float,
        default=25,
        help='size of an image at most, in 10^6 pixels',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=60,
        help='seconds for one request, with its time in the queue',
    )
    parser.add_argument(
        '--queue',
        type=int,
        default=64,
        help='requests that may wait; further ones are refused with 503',
    )
    add_trust_option(parser)
    add_backend_option(parser)
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    args = build_parser().parse_args(argv)
    from pathlib import Path

    from depth.apis.depth_server import DepthServer, ServingLimits
    from depth.apis.serving import load_inferencer, serve

    limits = ServingLimits(
        max_bytes=round(args.max_megabytes * 1e6),
        max_pixels=round(args.max_megapixels * 1e6),
        timeout=args.timeout,
        max_queue=args.queue,
    )
    inferencer = load_inferencer(
        args.checkpoint,
        args.config,
        args.device,
        parse_cfg_options(args.cfg_options),
        tuple(args.trust_module),
    )
    name = Path(args.checkpoint.rstrip('/')).name
    # Whoever reaches the address can make this machine compute.
    if args.host not in LOOPBACK:
        print(
            f'warning: {args.host} can be reached from other machines, and there is no password',
            file=sys.stderr,
        )

    def announce(address: str) -> None:
        if not args.no_page:
            print(f'page:      {address}')
        print(f'endpoint:  {address}/predict   (POST an image; /info and /health by GET)')
        print('Ctrl-C ends the server', flush=True)

    serve(
        DepthServer(inferencer, name, limits),
        args.host,
        args.port,
        page=not args.no_page,
        examples=args.examples,
        on_start=announce,
    )
    return 0
