"""Print a config with all inherited values: python tools/misc/print_config.py CONFIG."""

import argparse

from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Print a config with all inherited values', allow_abbrev=False
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--check',
        action='store_true',
        help='also run the checks of a training, data included; those of a test if the config has no training',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Print the config, after its checks."""
    args = parse_args()
    from depth.engine.config import load_config
    from depth.engine.config_check import check_run

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    if args.check:
        check_run(cfg)
    print(cfg.pretty_text)


if __name__ == '__main__':
    run_tool(main)
