"""Test a model: python tools/test.py CONFIG CHECKPOINT."""

import argparse
import os
from pathlib import Path

from depth.cli import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Test a depth model', allow_abbrev=False)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where the metrics go, work_dirs/<config name> by default')
    parser.add_argument('--out', help='also write every prediction as 16-bit PNG into this folder')
    parser.add_argument(
        '--data',
        metavar='CONFIG',
        help='take test set and metric from another config, such as configs/_base_/datasets/ibims.py (zero-shot)',
    )
    parser.add_argument(
        '--tta',
        action=argparse.BooleanOptionalAction,
        help='average with the mirrored image, as the published numbers do; as the config says by default',
    )
    parser.add_argument(
        '--all-protocols',
        action='store_true',
        help='also score the same predictions under every other protocol that applies to the data set',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by older torch launchers')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Build the runner of a config, load the checkpoint strictly and test."""
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    from depth.engine.config import load_config, skip_pretrained
    from depth.engine.config_check import check_testing
    from depth.engine.run import build_runner

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options), test_data=args.data)
    if not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {args.checkpoint} does not exist')
    check_testing(cfg)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(args.config).stem))
    cfg.load_from, cfg.resume, cfg.load_strict = args.checkpoint, False, True
    skip_pretrained(cfg)
    if args.tta is not None:
        cfg.model.test_cfg = dict(cfg.model.get('test_cfg') or {}, flip=args.tta)
    if args.all_protocols:
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        for evaluator in evaluators:
            add_all_protocols(evaluator)
    if args.out:
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='PredictionWriterHook', out_dir=args.out)]
    build_runner(cfg).test()


def add_all_protocols(evaluator: dict) -> None:
    """Make an evaluator's config score every protocol that applies, for each data set of a mixed one."""
    if evaluator['type'] == 'DepthMetric':
        evaluator['protocols'] = 'all'
    elif evaluator['type'] == 'MixedDepthMetric':
        for name, part in evaluator['protocols'].items():
            part = dict(protocol=part) if isinstance(part, str) else part
            evaluator['protocols'][name] = dict(part, protocols='all')


if __name__ == '__main__':
    run_tool(main)
