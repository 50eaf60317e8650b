"""Fine-tune one checkpoint in several ways, each in a process of its own, and compare them.

python tools/analysis_tools/compare_tuning.py CONFIG --checkpoint START trains the whole network, the
decoder on a frozen backbone, and the decoder with LoRA in the backbone; it prints a table and
writes it as JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import parse_cfg_options, run_tool

TRAIN = Path(__file__).resolve().parents[1] / 'train.py'
WAYS = ('full', 'frozen', 'lora')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the fine-tuning')
    parser.add_argument('--checkpoint', required=True, help='weights that all ways start from')
    parser.add_argument(
        '--ways', nargs='+', default=list(WAYS), choices=WAYS, help='ways to compare (default: all)'
    )
    parser.add_argument('--rank', type=int, default=8, help='rank of LoRA (default: 8)')
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/compare_tuning'),
        help='folder of the runs',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='options of every run',
    )
    return parser.parse_args()


def main() -> None:
    """Train all ways, print the table and write it as JSON."""
    args = parse_args()
    table = {}
    print('| way | trained share | peak memory | time an iteration | abs_rel | d1 |')
    print('| --- | --- | --- | --- | --- | --- |')
    for way in args.ways:
        options = [*args.cfg_options, *_options_of(way, args.rank)]
        row = run_training(args, way, options)
        row['trained_share'] = trained_share(args.config, options)
        table[way] = row
        print(
            f'| {way} | {row["trained_share"]:.1%} | {row["peak_memory_mb"]:.0f} MB | '
            f'{row["seconds_per_iteration"]:.3f} s | {row["abs_rel"]:.4f} | {row["d1"]:.4f} |',
            flush=True,
        )
    content = json.dumps(dict(checkpoint=args.checkpoint, ways=table), indent=2) + '\n'
    write_atomically(args.work_dir / 'compare_tuning.json', content)


def _options_of(way: str, rank: int) -> list[str]:
    """Return the config options of a way of fine-tuning."""
    return dict(
        full=[],
        frozen=['model.backbone.freeze=True'],
        lora=[f'model.backbone.lora.rank={rank}'],
    )[way]


def trained_share(config: str, options: list[str]) -> float:
    """Return the share of the model's parameters that are trained."""
    import torch
    from mmengine.registry import init_default_scope

    from depth.engine.config import load_config
    from depth.engine.deployment import build_from_stored

    init_default_scope('depth')
    with torch.device('meta'):
        model = build_from_stored(load_config(config, parse_cfg_options(options)))
    parameters = list(model.parameters())
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    return trained / sum(parameter.numel() for parameter in parameters)


def run_training(args: argparse.Namespace, way: str, options: list[str]) -> dict:
    """Train one way and return its last metrics, time and peak memory.

    The memory is that of the GPU where there is one, otherwise the largest resident set of the
    training process, libraries included.

    Raises:
        RuntimeError: If the training fails; the message holds the end of its output.
    """
    work_dir = args.work_dir / way
    command = [sys.executable, str(TRAIN), args.config, '--work-dir', str(work_dir)]
    command += ['--cfg-options', f'load_from={args.checkpoint}', *options]
    start = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f'the training {way!r} failed: {output[-2000:]}')
    entries = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json'))[-1:]:
        entries = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    steps = [entry for entry in entries if 'loss' in entry]
    metrics = [entry for entry in entries if 'abs_rel' in entry][-1]
    memory = max((entry.get('memory', 0) for entry in steps), default=0)
    return dict(
        abs_rel=metrics['abs_rel'],
        d1=metrics['d1'],
        seconds=time.time() - start,
        seconds_per_iteration=statistics.median(entry['time'] for entry in steps),
        peak_memory_mb=memory or usage.ru_maxrss / 1024,
    )


if __name__ == '__main__':
    run_tool(main)
