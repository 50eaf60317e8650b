"""Test a model: ``depth test CONFIG CHECKPOINT`` and ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
from collections.abc import Sequence

from depth.cli.common import (
    add_backend_option,
    add_cfg_options,
    add_launch_options,
    add_verbosity_options,
    command_parser,
    parse_cfg_options,
    set_local_rank,
)

EXAMPLES = (
    'depth test depthformer_swint_w7_nyu work_dirs/depthformer_swint_w7_nyu/iter_38400.pth --tta',
    'depth test CONFIG.py model.pth --out predictions --all-protocols',
    'depth test CONFIG.py model.pth --data ibims',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description='Test a depth model', allow_abbrev=False)
    parser.add_argument('config', help='config: a path, or the name of a shipped one (depth list)')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        help='folder of the metrics (default: work_dir of the config, or work_dirs/<config name>)',
    )
    parser.add_argument(
        '--out',
        help='folder into which every prediction is written as 16-bit PNG (default: none is '
        'written)',
    )
    parser.add_argument(
        '--data',
        metavar='CONFIG',
        help='config that gives test set and metric instead, such as '
        'configs/_base_/datasets/ibims.py (zero-shot)',
    )
    parser.add_argument(
        '--tta',
        action=argparse.BooleanOptionalAction,
        help='average with the prediction of the mirrored image, as published numbers do (default: '
        'as in the config)',
    )
    parser.add_argument(
        '--all-protocols',
        action='store_true',
        help='also score the predictions under every other protocol that applies to the data set',
    )
    add_verbosity_options(parser)
    add_launch_options(parser)
    add_backend_option(parser)
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Test, and write the metrics into the work dir."""
    args = build_parser().parse_args(argv)
    set_local_rank(args)
    # Imported late, so that --help and wrong arguments answer at once.
    from depth.apis import test
    from depth.engine.config import load_config

    test(
        load_config(args.config, parse_cfg_options(args.cfg_options), test_data=args.data),
        args.checkpoint,
        work_dir=args.work_dir,
        out_dir=args.out,
        tta=args.tta,
        all_protocols=args.all_protocols,
        launcher=args.launcher,
    )
    return 0
