"""Train a model: ``depth train CONFIG`` and ``python tools/train.py CONFIG``."""

import argparse
import sys
from collections.abc import Sequence
from itertools import zip_longest

from depth.cli.common import (
    add_backend_option,
    add_cfg_options,
    add_launch_options,
    command_parser,
    parse_cfg_options,
    set_local_rank,
)

AMP = ('auto', 'bf16', 'fp16')

EXAMPLES = (
    'depth train depthformer_swint_w7_nyu',
    'depth train depthformer_swint_w7_nyu --work-dir work_dirs/first --amp bf16 --resume',
    'depth train depthformer_tiny_rooms --cfg-options max_iters=200 train_dataloader.batch_size=4',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description='Train a depth model', allow_abbrev=False)
    parser.add_argument('config', help='config: a path, or the name of a shipped one (depth list)')
    parser.add_argument(
        '--work-dir',
        help='folder of logs and checkpoints (default: work_dir of the config, or work_dirs/<config name>)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help="continue from this checkpoint; 'auto' or no value: from the newest one of the work dir, if there is one",
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=AMP,
        help='train in mixed precision: bf16 (recommended, on NVIDIA Ampere and later) or fp16; '
        'auto or no value: fp16 on CUDA, bf16 on a CPU',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the training step with torch.compile',
    )
    parser.add_argument('--seed', type=int, help='random seed (default: that of the config)')
    parser.add_argument(
        '--deterministic',
        action='store_true',
        help='use deterministic kernels where there are any',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale learning rate and length of the published recipe to the batch size of this launch (docs/train.md)',
    )
    add_launch_options(parser)
    add_backend_option(parser)
    add_cfg_options(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` is that of the process by default."""
    words = sys.argv[1:] if argv is None else argv
    return build_parser().parse_args(_with_amp_value(words))


def _with_amp_value(words: Sequence[str]) -> list[str]:
    """Return a command line in which ``--amp`` in front of another argument has a value.

    argparse would take the config of ``train.py --amp CONFIG`` for the value.
    """
    completed = []
    for word, following in zip_longest(words, words[1:], fillvalue=''):
        is_bare = word == '--amp' and following not in AMP
        completed.append('--amp=auto' if is_bare else word)
    return completed


def main(argv: Sequence[str] | None = None) -> int:
    """Train; the exit code is not 0 if a signal ended an incomplete training."""
    args = parse_args(argv)
    set_local_rank(args)
    # Imported late, so that --help and wrong arguments answer at once.
    from depth.apis import train
    from depth.engine.config import load_config

    runner = train(
        load_config(args.config, parse_cfg_options(args.cfg_options)),
        work_dir=args.work_dir,
        resume=args.resume or False,
        amp=True if args.amp == 'auto' else args.amp or False,
        compile_step=args.compile,
        seed=args.seed,
        deterministic=args.deterministic,
        auto_scale_lr=args.auto_scale_lr,
        launcher=args.launcher,
    )
    return runner.exit_code
