"""Measure the stability of depth along rendered camera paths, without and with aligned scale.

    python tools/analysis_tools/temporal_stability.py --jitter 0.05
    python tools/analysis_tools/temporal_stability.py --checkpoint CHECKPOINT --exposure 0.1

With --jitter the predictions are the exact depth times a random factor a frame; with --checkpoint
they are those of a model. The metrics are defined in depth/evaluation/temporal.py.
"""

import argparse

from depth.cli.common import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--jitter', type=float, metavar='SIGMA', help='standard deviation of the log factor'
    )
    source.add_argument('--checkpoint', help='checkpoint with its config')
    parser.add_argument(
        '--exposure',
        type=float,
        default=0.0,
        metavar='SIGMA',
        help='standard deviation of the log brightness of each frame, as of an automatic exposure '
        '(default 0)',
    )
    parser.add_argument(
        '--noise',
        type=float,
        default=0.01,
        metavar='SIGMA',
        help='standard deviation of the sensor noise, as a share of full scale (default 0.01)',
    )
    parser.add_argument('--world', choices=['rooms', 'streets'], default='rooms')
    parser.add_argument('--paths', type=int, default=4, help='number of scenes (default 4)')
    parser.add_argument('--frames', type=int, default=60, help='frames of each path (default 60)')
    parser.add_argument('--seed', type=int, default=0, help='seed of scenes and jitter (default 0)')
    return parser.parse_args()


def main() -> None:
    """Print one line a path, and the means."""
    args = parse_args()
    import numpy as np

    from depth.apis import inference_model, init_model
    from depth.apis.scale_alignment import StreamScaleAligner
    from depth.datasets.scenes import render_path
    from depth.evaluation.temporal import TEMPORAL_METRICS, TemporalMetrics

    model = None if args.checkpoint is None else init_model(args.checkpoint)
    rng = np.random.RandomState(args.seed)
    print(f'{"path":6} {"scale":10}' + ''.join(f'{name:>17}' for name in TEMPORAL_METRICS))
    rows = {'as is': [], 'aligned': []}
    for index in range(args.paths):
        measured = {name: TemporalMetrics() for name in rows}
        aligner = StreamScaleAligner()
        frames = render_path(args.world, args.seed, index, args.frames, noise=args.noise)
        for frame in frames:
            if args.exposure:
                brightness = np.exp(args.exposure * rng.randn())
                frame['img'] = np.clip(frame['img'] * brightness, 0, 255).astype(np.uint8)
            if model is None:
                pred = frame['gt_depth'] * np.float32(np.exp(args.jitter * rng.randn()))
            else:
                pred = inference_model(model, frame['img']).pred_depth.numpy()
            factors = {'as is': 1.0, 'aligned': aligner.factor(frame['img'], pred)}
            truth = (frame['gt_depth'], frame['cam_intrinsic'], frame['cam_to_world'])
            for name, factor in factors.items():
                measured[name].update(pred * np.float32(factor), *truth)
        for name, metrics in measured.items():
            rows[name].append(list(metrics.compute().values()))
            print_row(str(index), name, rows[name][-1])
    for name, values in rows.items():
        print_row('mean', name, np.mean(values, axis=0))


def print_row(path: str, name: str, values: list[float]) -> None:
    """Print the metrics of one path."""
    print(f'{path:6} {name:10}' + ''.join(f'{value:17.4f}' for value in values))


if __name__ == '__main__':
    run_tool(main)
