"""Train and test a config over settings and seeds: ``depth sweep CONFIG --grid KEY=A,B --work-dir D``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import command_parser

EXAMPLES = (
    'depth sweep depthformer_tiny_rooms --grid max_iters=200,400 --seeds 0 1 2 --work-dir work_dirs/length',
    'depth sweep adabins_efnetb5ap_nyu_24e --list settings.txt --jobs 2 --gpus 0 1 --work-dir work_dirs/adabins',
    'depth sweep CONFIG.py --seeds 0 1 2 --work-dir work_dirs/seeds --slurm partition=gpu gres=gpu:1 time=12:00:00',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Train and test a config over a grid or list of overrides and several seeds, '
        'and print one table. The same command continues an interrupted sweep.',
        allow_abbrev=False,
    )
    parser.add_argument('config', help='config: a path, or the name of a shipped one (depth list)')
    parser.add_argument(
        '--grid',
        nargs='+',
        default=[],
        metavar='KEY=A,B',
        help='values of the config, of which every combination is a setting; commas inside '
        'brackets or quotation marks belong to a value: "some.list=[1,2],[3,4]"',
    )
    parser.add_argument(
        '--list',
        type=Path,
        metavar='FILE',
        help='file with the overrides of one setting a line, after those of the grid',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='seeds of each setting')
    parser.add_argument('--work-dir', required=True, type=Path, help='folder of runs and table')
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time')
    parser.add_argument(
        '--gpus',
        nargs='+',
        type=int,
        default=[],
        metavar='N',
        help='numbers of GPUs, of which each run sees one in turn (default: all runs see the same)',
    )
    parser.add_argument(
        '--checkpoint',
        choices=['last', 'best'],
        default='last',
        help='checkpoint that is tested; best is that of the validations',
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=['abs_rel', 'rmse', 'silog', 'd1'],
        help='columns of the table; sweep.json has all',
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        '--collect', action='store_true', help='run nothing, write the table of what is finished'
    )
    mode.add_argument('--task', type=int, metavar='N', help='run the N-th run alone, from 0 on')
    mode.add_argument(
        '--slurm',
        nargs='*',
        metavar='NAME=VALUE',
        help='run nothing, write the script of a Slurm array with these options of sbatch',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sweep; return 1 if a run of it has no result."""
    args = build_parser().parse_args(argv)
    from depth.apis.sweep import SweepRunner, write_slurm_script
    from depth.apis.sweep_plan import expand_grid, plan_sweep, read_settings
    from depth.apis.sweep_table import write_table

    settings = expand_grid(args.grid)
    if args.list:
        settings += read_settings(args.list)
    plan = plan_sweep(args.config, settings or [()], args.seeds, args.work_dir)
    if args.slurm is not None:
        path = write_slurm_script(
            plan, options=args.slurm, jobs=args.jobs, checkpoint=args.checkpoint
        )
        print(f'{path}: {len(plan.runs)} tasks; sbatch {path} starts them')
        return 0
    runner = SweepRunner(jobs=args.jobs, gpus=args.gpus, checkpoint=args.checkpoint)
    if args.task is not None:
        if not 0 <= args.task < len(plan.runs):
            raise ValueError(f'--task is 0 to {len(plan.runs) - 1}, got {args.task}')
        # Tasks end at any time, also together: the table is written by --collect.
        run = plan.runs[args.task]
        runner.run([run])
        return int(run.read_manifest().get('state') != 'finished')
    if not args.collect:
        print(f'{len(plan.runs)} runs: {len(plan.settings)} settings, {len(plan.seeds)} seeds')
        runner.run(plan.runs)
    summary, text = write_table(plan, tuple(args.metrics))
    print(text)
    print(f'{args.work_dir / "sweep.md"} and sweep.json beside it')
    return int(bool(summary['problems']))
