"""Measure how fast a config trains, predicts and loads, and what the rest takes; no data and no weights are needed.

python tools/analysis_tools/benchmark.py train configs/depthformer/depthformer_swint_w7_nyu.py --published --vs default
python tools/analysis_tools/benchmark.py infer CONFIG --shape 480 640 --vs "flip=False" --vs "autocast=bf16"
python tools/analysis_tools/benchmark.py data configs/_base_/datasets/kitti_eigen.py --published --vs default
python tools/analysis_tools/benchmark.py ops --device cuda
python tools/analysis_tools/benchmark.py metrics CONFIG
python tools/analysis_tools/benchmark.py startup
python tools/analysis_tools/benchmark.py graphs CONFIG      # graph breaks and device reads, counted on the CPU
python tools/analysis_tools/benchmark.py saving CONFIG --threads 1      # what a checkpoint costs the training

Inputs are rendered scenes with sensor noise. Settings that are compared (--vs) run in turn, so that
both see the same noise of the machine; the printed ratio is the median of the ratios of
neighbouring runs.
"""

import argparse
import sys
import time
from pathlib import Path

from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool

MODES = ('train', 'infer', 'data', 'ops', 'metrics', 'startup', 'graphs', 'saving')
REPEATS = dict(train=10, infer=10, data=100, ops=10, metrics=20, startup=5, graphs=1, saving=5)
# Real frames, where they are there.
SAMPLES = Path(__file__).resolve().parents[3] / 'shared/samples'
FIXED_IMAGE = SAMPLES / 'kitti/image_02/0000000005.png'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('mode', choices=MODES, help='what to measure')
    parser.add_argument('config', nargs='?', help='config file; ops and startup take none')
    parser.add_argument(
        '--published',
        action='store_true',
        help='measure the published setting: eager, float32, deformable attention by grid_sample, '
        'the published loader',
    )
    parser.add_argument(
        '--setting',
        metavar='"K=V ..."',
        help='measure this first instead of the default, in the words of --vs',
    )
    parser.add_argument(
        '--vs',
        action='append',
        default=[],
        metavar='"K=V ..."',
        help='compare with these config values, or with: default, published, published_tf32 (TF32 '
        'as older PyTorch), backend=reference|torch|triton, launch=TILExWARPS, '
        'flip=True|False, autocast=bf16|fp16 (inference), packed (mode data); may be repeated',
    )
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help="size of the images, the config's if not",
    )
    parser.add_argument(
        '--batch-size', type=int, help="images of a batch; the config's in training, 1 otherwise"
    )
    parser.add_argument('--repeats', type=int, help=f'repetitions; by default {REPEATS}')
    parser.add_argument(
        '--warmup',
        type=int,
        default=2,
        help='repetitions of train and infer before those (default 2)',
    )
    parser.add_argument('--device', help='cpu or cuda; cuda if there is one')
    parser.add_argument(
        '--threads', type=int, help="torch's threads on the CPU, its own choice if not"
    )
    parser.add_argument(
        '--no-memory',
        action='store_true',
        help='do not measure memory (a fresh process on the CPU)',
    )
    parser.add_argument(
        '--processor-time',
        action='store_true',
        help='modes train and infer on the CPU: processor time of all threads, for a machine that '
        'others use',
    )
    parser.add_argument(
        '--files', nargs=2, metavar=('IMAGE', 'DEPTH'), help='frame that mode data reads'
    )
    parser.add_argument(
        '--workers', type=int, default=0, help='mode data: also measure so many loader processes'
    )
    parser.add_argument(
        '--fixed-image',
        type=Path,
        default=FIXED_IMAGE,
        help='mode data: decoded beside every sample',
    )
    parser.add_argument('--sizes', nargs='+', help='mode ops: which sizes, all by default')
    parser.add_argument(
        '--scan', action='store_true', help='mode ops: only Triton, with every tile and warps'
    )
    parser.add_argument('--out', type=Path, help='also write the numbers as JSON')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.setting and args.published:
        parser.error('give --setting or --published, not both')
    if args.config is None and args.mode not in ('ops', 'startup'):
        parser.error(f'mode {args.mode} needs a config')
    if args.processor_time and args.mode not in ('train', 'infer'):
        parser.error('--processor-time is for the modes train and infer')
    return args


def main() -> None:
    """Measure, print and write."""
    args = parse_args()
    import torch

    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from benchmarks.environment import environment
    from benchmarks.results import format_result, write_result

    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    result = dict(
        mode=args.mode, config=args.config, **measure(args, device), environment=environment(device)
    )
    print(format_result(result))
    if args.out:
        write_result(result, args.out)
        print(f'written to {args.out}')


def measure(args: argparse.Namespace, device: str) -> dict:
    """Run the mode."""
    from dataclasses import replace

    from benchmarks import (
        Setting,
        Spec,
        compare,
        data,
        graphs,
        metrics,
        ops,
        parse_setting,
        saving,
        startup,
    )

    spec = Spec(
        config=args.config,
        options=parse_cfg_options(args.cfg_options),
        shape=tuple(args.shape) if args.shape else None,
        batch_size=args.batch_size,
        device=device,
        files=tuple(args.files) if args.files else None,
        samples=str(SAMPLES),
        workers=args.workers,
    )
    first = replace(Setting('published' if args.published else 'default'), published=args.published)
    if args.setting:
        first = parse_setting(args.setting)
    settings = [first, *(parse_setting(text) for text in args.vs)]
    repeats, memory = args.repeats or REPEATS[args.mode], not args.no_memory
    if args.mode == 'data':
        fixed = args.fixed_image if args.fixed_image.is_file() else None
        return data.run(spec, settings, repeats, fixed, progress)
    if args.mode == 'ops':
        return ops.run(spec, args.sizes or list(ops.SIZES), repeats, memory, args.scan, progress)
    if args.mode == 'metrics':
        return metrics.run(spec, first, repeats, progress)
    if args.mode == 'startup':
        return startup.run(repeats, progress)
    if args.mode == 'saving':
        return saving.run(spec, first, repeats, progress)
    if args.mode == 'graphs':
        return graphs.run(replace(spec, device='cpu'), first, progress)
    clock = time.process_time if args.processor_time else time.perf_counter
    return compare.compare(
        f'benchmarks.{args.mode}', spec, settings, repeats, memory, progress, clock, args.warmup
    )


def progress(text: str) -> None:
    """Say on a terminal what is being done, on one line."""
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


if __name__ == '__main__':
    run_tool(main)
