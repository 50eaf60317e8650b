"""Compare depth hints with ground truth: python check_depth_hints.py DATA_ROOT, a stereo folder."""

import argparse
import time
from pathlib import Path

from depth.cli.common import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'data_root',
        help='folder with left/, right/, intrinsics.json and disp/ or depth/',
    )
    return parser.parse_args()


def main() -> None:
    """Compute the hint of every left view at its own size and print a line a pair."""
    args = parse_args()
    import numpy as np

    from depth.datasets import StereoFolderDataset
    from depth.datasets.transforms import LoadPair, LoadStereoDepth
    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from projects.EPCDepth.depth_hints import compute_hint

    dataset = StereoFolderDataset(
        data_root=args.data_root,
        pipeline=[LoadPair(), LoadStereoDepth()],
    )
    print(
        f'{"pair":<16} {"size":>9} {"with hint":>9} {"median error":>12} {"abs_rel":>8} '
        f'{"seconds":>8}',
    )
    for results in dataset:
        if 'gt_depth' not in results:
            continue
        started = time.perf_counter()
        hint, gt_depth = compute_hint(results), results['gt_depth']
        seconds = time.perf_counter() - started
        both = (hint > 0) & (gt_depth > 0)
        error = np.abs(hint - gt_depth)[both]
        height, width = hint.shape
        print(
            f'{Path(results["img_path"]).stem:<16} {f"{height}x{width}":>9} '
            f'{(hint > 0).mean():9.1%} {np.median(error):10.3f} m '
            f'{(error / gt_depth[both]).mean():8.4f} {seconds:8.1f}',
        )


if __name__ == '__main__':
    run_tool(main)
