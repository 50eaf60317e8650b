"""Measure scoring relative to the forward pass: python tools/analysis_tools/benchmark_evaluation.py CONFIG."""

import argparse
import statistics
import time
from collections.abc import Callable

from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument('config', help='config of the model, which keeps its random weights')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(480, 640), metavar=('HEIGHT', 'WIDTH')
    )
    parser.add_argument('--device', default='cpu', help="'cpu' (default) or 'cuda'")
    parser.add_argument(
        '--protocol', default='nyu_eigen_10', help='first protocol (default: %(default)s)'
    )
    parser.add_argument(
        '--dataset',
        default='nyu',
        help='data set of the timing with all its protocols (default: %(default)s)',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=5,
        help='number of timed calls, whose median is printed (default: %(default)s)',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Time the forward pass without test-time augmentation, then the metric with several options."""
    args = parse_args()
    import torch

    from depth.apis import init_model
    from depth.evaluation import DepthMetric

    def measure(function: Callable[[], object]) -> float:
        """Return the median seconds of a call after one warm-up."""
        seconds = []
        for _ in range(args.repeats + 1):
            _wait(torch, args.device)
            started = time.perf_counter()
            function()
            _wait(torch, args.device)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[1:])

    height, width = args.size
    model = init_model(
        args.config, device=args.device, cfg_options=parse_cfg_options(args.cfg_options)
    )
    image = torch.rand(1, 3, height, width, device=args.device)
    maps = torch.rand(2, height, width, device=args.device) * 8 + 1
    sample = dict(
        pred_depth=maps[0], gt_depth=maps[1], img_path='a.png', dataset=args.dataset, max_depth=9.0
    )
    with torch.inference_mode():
        forward = measure(lambda: model(image, mode='tensor'))
        print(
            f'forward pass at {height}x{width}, {args.device}, torch {torch.__version__}: '
            f'{1000 * forward:.1f} ms'
        )
        options = {
            'one protocol': {},
            'with three distance bins and edges': dict(
                distance_bins=(0, 2, 4, 10), boundary_ratio=1.1
            ),
            'all protocols': dict(protocols='all'),
        }
        for name, option in options.items():
            metric = DepthMetric(args.protocol, **option)
            seconds = measure(lambda metric=metric: metric.process({}, [sample]))
            count = f' ({1 + len(metric.further_protocols)})' if 'protocols' in option else ''
            print(f'{name}{count}: {1000 * seconds:.2f} ms, {seconds / forward:.2%}')


def _wait(torch: object, device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize()


if __name__ == '__main__':
    run_tool(main)
