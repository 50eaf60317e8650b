"""Print a config with all inherited values: ``depth print-config CONFIG``."""

import argparse
from collections.abc import Sequence

from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

EXAMPLES = (
    'depth print-config depthformer_swint_w7_nyu',
    'depth print-config CONFIG.py --check --cfg-options max_depth=80',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES, description='Print a config with all inherited values', allow_abbrev=False
    )
    parser.add_argument('config', help='config: a path, or the name of a shipped one (depth list)')
    parser.add_argument(
        '--check',
        action='store_true',
        help='also run the checks of a training, data included; those of a test if the config has '
        'no training',
    )
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the config, after its checks."""
    args = build_parser().parse_args(argv)
    from depth.engine.config import load_config
    from depth.engine.config_check import check_run

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    if args.check:
        check_run(cfg)
    print(cfg.pretty_text)
    return 0
