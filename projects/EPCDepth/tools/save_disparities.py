"""Test a model and write its disparities: python save_disparities.py CONFIG CHECKPOINT --out DIR."""

import argparse
from pathlib import Path

from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out',
        required=True,
        help='folder for disparities.npy (N, H, W) and pictures',
    )
    parser.add_argument(
        '--no-pictures',
        action='store_true',
        help='write the npy file only (default: pictures too)',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Test with a hook that writes the disparities; metrics go to the sub-folder ``test``."""
    args = parse_args()
    from depth.apis import test
    from depth.engine.config import load_config
    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from projects.EPCDepth.disparities import DisparityWriterHook

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    writer = dict(
        type=DisparityWriterHook.__name__, out_dir=args.out, pictures=not args.no_pictures
    )
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), writer]
    test(cfg, args.checkpoint, work_dir=Path(args.out, 'test'))


if __name__ == '__main__':
    run_tool(main)
