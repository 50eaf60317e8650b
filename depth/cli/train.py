"""Train a model: ``depth train CONFIG`` and ``python tools/train.py CONFIG``."""

import argparse
import sys
from collections.abc import Sequence
from itertools import zip_longest

from depth.cli.common import (
    add_backend_option,
    add_cfg_options,
    add_launch_options,
    add_verbosity_options,
    command_parser,
    parse_cfg_options,
    set_local_rank,
)

AMP = ('auto', 'bf16', 'fp16')

EXAMPLES = (
    'depth train depthformer_swint_w7_nyu',
    'depth train --data my_rooms --max-depth 10',
    'depth train depthformer_swint_w7_nyu --work-dir work_dirs/first --amp bf16 --resume',
    'depth train depthformer_tiny_rooms --cfg-options max_iters=200 train_dataloader.batch_size=4',
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description='Train a depth model', allow_abbrev=False)
    parser.add_argument(
        'config', nargs='?', help='config: a path, or the name of a shipped one (depth list)'
    )
    own = parser.add_argument_group('your own images and depth maps (docs/your_data.md)')
    own.add_argument(
        '--data',
        metavar='FOLDER',
        help='in place of a config: folder with images/ and depth/, or with train/ and val/ that '
        'have them; it is examined, split, trained on, tested and drawn',
    )
    own.add_argument(
        '--model',
        metavar='NAME',
        help='config whose method is trained, by name or path; its data, depth range and schedule '
        'become those of the folder (default: that of --from, or else densedepth_r18_folder)',
    )
    own.add_argument(
        '--from',
        dest='start',
        metavar='CHECKPOINT',
        help='weights to start from: a checkpoint of this toolbox, or a published file that has a '
        'converter',
    )
    own.add_argument(
        '--max-depth',
        type=float,
        metavar='M',
        help='far end of the depth range in metres (default: from the depth maps)',
    )
    own.add_argument(
        '--depth-scale',
        type=float,
        metavar='S',
        help='stored integers per metre (default: from the files, where they leave no doubt)',
    )
    parser.add_argument(
        '--work-dir',
        help='folder of logs and checkpoints (default: work_dir of the config, or '
        'work_dirs/<config name>)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help="continue from this checkpoint; 'auto' or no value: from the newest one of the work "
        'dir, if there is one',
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
        help='scale learning rate and length of the published recipe to the batch size of this '
        'launch (docs/train.md)',
    )
    parser.add_argument(
        '--strategy',
        choices=['ddp', 'fsdp2'],
        help='several processes: each holds the whole model (ddp), or a piece of weights, '
        'gradients and moments (fsdp2, docs/scale.md) (default: strategy of the config, or ddp)',
    )
    add_verbosity_options(parser)
    add_launch_options(parser)
    add_backend_option(parser)
    add_cfg_options(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``argv`` is that of the process by default."""
    words = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    args = parser.parse_args(_with_amp_value(words))
    if bool(args.config) == bool(args.data):
        parser.error('give a config, or --data FOLDER in place of it')
    own_options = (args.model, args.start, args.max_depth, args.depth_scale)
    if args.config and any(option is not None for option in own_options):
        parser.error('--model, --from, --max-depth and --depth-scale go with --data')
    return args


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
    options = dict(
        work_dir=args.work_dir,
        resume=args.resume or False,
        amp=True if args.amp == 'auto' else args.amp or False,
        compile_step=args.compile,
        seed=args.seed,
        deterministic=args.deterministic,
        auto_scale_lr=args.auto_scale_lr,
        launcher=args.launcher,
        strategy=args.strategy,
    )
    # Imported late, so that --help and wrong arguments answer at once.
    if args.data:
        from depth.apis.own_data import train_on_folder

        return train_on_folder(
            args.data,
            model=args.model,
            start=args.start,
            max_depth=args.max_depth,
            depth_scale=args.depth_scale,
            cfg_options=parse_cfg_options(args.cfg_options),
            **options,
        )
    from depth.apis import train
    from depth.engine.config import load_config

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    return train(cfg, **options).exit_code
