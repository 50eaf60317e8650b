"""Run the training step that a stopped run has kept: python tools/analysis_tools/replay_step.py DUMP."""

import argparse

from depth.cli import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Run a training step that was not finite again and say where it first was not',
        allow_abbrev=False,
    )
    parser.add_argument('dump', help='nonfinite_iter_N_rankR.pth of the work dir')
    parser.add_argument('--config', help='config to build the model from, by default the one in the file')
    parser.add_argument('--device', default='cpu', help='where it runs')
    return parser.parse_args()


def main() -> None:
    """Print what the run noted and what the step gives now."""
    args = parse_args()
    from depth.apis.replay import describe_step, replay_step

    report = replay_step(args.dump, args.device, args.config)
    print('\n'.join(['as the run noted it:', *(f'  {line}' for line in describe_step(args.dump))]))
    print('\n'.join(['run again:', *(f'  {line}' for line in report.lines())]))


if __name__ == '__main__':
    run_tool(main)
