"""Compute what a training takes on many GPUs: memory per process, what fits, and the time of a step.

Nothing is run and no weights are fetched: the model is built without values. The assumptions are
printed.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

if TYPE_CHECKING:
    from mmengine.config import Config

    from depth.engine.plan import Plan

EXAMPLES = (
    'depth plan dinov3_vitl_dpt_nyu --gpus 8 --memory 80',
    'depth plan dinov3_vit7b_dpt_nyu --gpus 1 8 64 --memory 80 --batch-size 2',
    'depth plan dinov3_vit7b_dpt_nyu --gpus 8 --memory 40 --tflops 312 --node-bandwidth 300',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument('config', help='config: a path, or the name of a shipped one (depth list)')
    parser.add_argument(
        '--gpus', nargs='+', type=int, default=(1, 8, 64), metavar='N', help='numbers of GPUs'
    )
    parser.add_argument('--batch-size', type=int, metavar='B', help='images of one process')
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        default=(480, 640),
        metavar=('H', 'W'),
        help='size of the training images in pixels',
    )
    numbers = parser.add_argument_group('the machine (defaults: a node of H100 SXM GPUs)')
    for name, text in (
        ('memory', 'memory of a GPU in GB'),
        ('tflops', 'peak of a GPU in bf16, 1e12 FLOP/s'),
        ('utilisation', 'part of the peak that a step reaches'),
        ('node-bandwidth', 'GB/s of a GPU to others of its node'),
        ('network-bandwidth', 'GB/s of a GPU to other nodes'),
        ('data-rate', 'images/s that the loaders of one process deliver'),
    ):
        numbers.add_argument(f'--{name}', type=float, metavar='X', help=text)
    numbers.add_argument('--gpus-per-node', type=int, metavar='N', help='GPUs of a node')
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, the assumptions and the command of the fastest way that fits."""
    args = build_parser().parse_args(argv)
    from depth.engine.config import load_config
    from depth.engine.config_check import check_config
    from depth.engine.plan import (
        LAUNCHES,
        Machine,
        best_plan,
        count_model,
        format_assumptions,
        format_counts,
        format_table,
        plan_training,
        with_options,
    )

    if min(args.gpus) < 1 or min(args.shape) < 1:
        raise ValueError(f'--gpus and --shape are positive, got {args.gpus} and {args.shape}')
    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    check_config(cfg)
    batch = (
        cfg.train_dataloader.get('batch_size', 1) if args.batch_size is None else args.batch_size
    )
    if batch < 1:
        raise ValueError(f'--batch-size is positive, got {batch}')
    machine = with_options(
        Machine(),
        memory=args.memory,
        tflops=args.tflops,
        utilisation=args.utilisation,
        node_bandwidth=args.node_bandwidth,
        network_bandwidth=args.network_bandwidth,
        data_rate=args.data_rate,
        gpus_per_node=args.gpus_per_node,
    )
    counts = count_model(cfg, tuple(args.shape))
    print(format_counts(counts, args.config))
    print(f'{batch} images a process; memory of one process in GB (1e9 bytes):\n')
    print(format_table(counts, args.gpus, batch, machine))
    print('\nAssumed:\n')
    for line in format_assumptions(machine):
        print(f'- {line}')
    print()
    for gpus in args.gpus:
        plans = [plan_training(counts, launch, gpus, batch, machine) for launch in LAUNCHES]
        print(_advice(cfg, gpus, best_plan(plans)))
    return 0


def _advice(cfg: 'Config', gpus: int, best: 'Plan | None') -> str:
    """Return the switches of the fastest way that fits, and what it takes, as a line."""
    noun = 'GPU' if gpus == 1 else 'GPUs'
    if best is None:
        return f'{gpus} {noun}: nothing fits; take more GPUs, smaller images or a smaller batch'
    # Some backbones are a network of timm and a branch beside it.
    key, backbone = 'model.backbone', cfg.model.get('backbone') or {}
    if 'backbone' in backbone:
        key += '.backbone'
    return (
        f'{gpus} {noun}: {best.launch.switches(key)}   '
        f'({best.memory / 1e9:.1f} of {best.limit / 1e9:.0f} GB, {best.step * 1e3:,.0f} ms a step)'
    )
