"""Repeat a training step that was not finite: python tools/analysis_tools/replay_step.py DUMP."""

import argparse

from depth.cli.common import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Repeat a saved training step and print the first value that is not finite',
        allow_abbrev=False,
    )
    parser.add_argument('dump', help='nonfinite_iter_N_rankR.pth in the work dir of the run')
    parser.add_argument(
        '--config',
        help='config to build the model from (default: the one in the file)',
    )
    parser.add_argument('--device', default='cpu', help='device of the model (default: cpu)')
    return parser.parse_args()


def main() -> None:
    """Print the report of the run and that of the repeated step."""
    args = parse_args()
    from depth.apis.replay import describe_step, replay_step

    report = replay_step(args.dump, args.device, args.config)
    print('\n'.join(['as the run noted it:', *(f'  {line}' for line in describe_step(args.dump))]))
    print('\n'.join(['run again:', *(f'  {line}' for line in report.lines())]))


if __name__ == '__main__':
    run_tool(main)
