"""Score a disparity file against a config's test set: python score_disparities.py CONFIG disparities.npy."""

import argparse
from pathlib import Path

from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config whose test set and protocol are used')
    parser.add_argument('disparities', type=Path, help='npy (N, H, W) in the order of the test set')
    parser.add_argument(
        '--unit',
        type=float,
        default=5.4,
        help='depth in metres is this / disparity',
    )
    parser.add_argument(
        '--resize-as',
        choices=['inverse_depth', 'depth'],
        default='inverse_depth',
        help='quantity that is resized to the ground truth: inverse_depth (KITTI, default) or '
        'depth (NYU)',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Compute the metrics and print them as a table."""
    args = parse_args()
    import numpy as np

    from depth.engine.config import load_config
    from depth.engine.custom_modules import make_projects_importable
    from depth.registry import DATASETS, METRICS

    make_projects_importable(Path(__file__))
    from projects.EPCDepth.disparities import score_disparities

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    if not args.disparities.is_file():
        raise FileNotFoundError(f'{args.disparities} does not exist')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    values = score_disparities(
        np.load(args.disparities),
        dataset,
        metric,
        args.unit,
        args.resize_as,
    )
    print(' '.join(f'{name:>8}' for name in values))
    print(' '.join(f'{value:8.4f}' for value in values.values()))


if __name__ == '__main__':
    run_tool(main)
