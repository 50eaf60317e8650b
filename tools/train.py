"""Train a model: python tools/train.py CONFIG."""

import argparse
import os
from pathlib import Path

from depth.cli import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Train a depth model', allow_abbrev=False)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where logs and checkpoints go, work_dirs/<config name> by default')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help="continue from a checkpoint file; 'auto' or no value: from the newest of the work dir, if it has one",
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on CUDA, bfloat16 on CPU')
    parser.add_argument('--compile', action='store_true', help='compile the training step with torch.compile')
    parser.add_argument('--seed', type=int, help='random seed, the one of the config by default')
    parser.add_argument('--deterministic', action='store_true', help='deterministic kernels where there are any')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='fit rate and length of the published recipe to the images a step that this launch has (docs/train.md)',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by older torch launchers')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Build the runner of a config and train."""
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    from depth.engine.config import load_config
    from depth.engine.config_check import check_training
    from depth.engine.run import build_runner
    from depth.engine.work_dir_lock import check_free

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    check_training(cfg)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(args.config).stem))
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if args.auto_scale_lr:
        cfg.auto_scale_lr = dict(cfg.get('auto_scale_lr') or {}, enable=True)
    if args.compile:
        cfg.compile = True
    if args.seed is not None or args.deterministic:
        seed = cfg.get('randomness', {}).get('seed') if args.seed is None else args.seed
        cfg.randomness = dict(cfg.get('randomness', {}), seed=seed, deterministic=args.deterministic)
    if int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))) == 0:
        check_free(cfg.work_dir)  # before weights are fetched and a model is built
    runner = build_runner(cfg)
    runner.train()
    return runner.exit_code


if __name__ == '__main__':
    run_tool(main)
