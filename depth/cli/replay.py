"""Repeat a training step that was not finite: ``depth replay DUMP``."""

import argparse
from collections.abc import Sequence

from depth.cli.common import command_parser

EXAMPLES = (
    'depth replay work_dirs/first/nonfinite_iter_120_rank0.pth',
    'depth replay nonfinite_iter_120_rank0.pth --config CONFIG.py --device cuda',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Repeat a saved training step and print the first value that is not finite',
        allow_abbrev=False,
    )
    parser.add_argument('dump', help='nonfinite_iter_N_rankR.pth in the work dir of the run')
    parser.add_argument(
        '--config',
        help='config to build the model from (default: the one in the file)',
    )
    parser.add_argument('--device', default='cpu', help='device of the model')
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report of the run and that of the repeated step."""
    args = build_parser().parse_args(argv)
    from depth.apis.replay import describe_step, replay_step

    report = replay_step(args.dump, args.device, args.config)
    print('\n'.join(['as the run noted it:', *(f'  {line}' for line in describe_step(args.dump))]))
    print('\n'.join(['run again:', *(f'  {line}' for line in report.lines())]))
    return 0
