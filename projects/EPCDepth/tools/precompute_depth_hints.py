"""Write the depth hints that a config's training reads: python precompute_depth_hints.py CONFIG.

Every pair is matched by semi-global matching with eight settings; per pixel the depth that explains
the image best is kept. Files that are there already are skipped, so the command can be stopped and
started again.
"""

import argparse
from pathlib import Path

from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config whose train data set has a hint_root')
    parser.add_argument(
        '--height',
        type=int,
        default=320,
        help='height at which views are matched (default 320)',
    )
    parser.add_argument('--width', type=int, default=1024, help='width, likewise (default 1024)')
    parser.add_argument('--workers', type=int, default=1, help='number of processes (default 1)')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='recompute hints whose files exist',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """List the pairs of the training set and compute the hints that are missing."""
    args = parse_args()
    from depth.engine.config import load_config
    from depth.engine.custom_modules import make_projects_importable
    from depth.registry import DATASETS

    make_projects_importable(Path(__file__))
    from projects.EPCDepth.depth_hints import hint_steps

    cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
    dataset_cfg = cfg.train_dataloader.dataset
    steps, unit = hint_steps(dataset_cfg.pipeline, args.width, args.height)
    dataset = DATASETS.build(dict(dataset_cfg, pipeline=[]))
    samples = [dataset.get_data_info(index) for index in range(len(dataset))]
    if samples and 'depth_hint_path' not in samples[0]:
        raise ValueError(
            f'{args.config}: train_dataloader.dataset has no hint_root, where should the hints go?',
        )
    jobs = []
    for sample in samples:
        if args.overwrite or not Path(sample['depth_hint_path']).is_file():
            jobs.append((sample, steps, unit))
    print(f'{len(samples)} views, {len(samples) - len(jobs)} have a hint, {len(jobs)} to do')
    run(jobs, args.workers)


def run(jobs: list[tuple], workers: int) -> None:
    """Compute hints in one or several processes, with a progress bar."""
    import multiprocessing

    from mmengine.utils import ProgressBar

    if not jobs:
        return
    bar = ProgressBar(len(jobs))
    if workers > 1:
        with multiprocessing.get_context('spawn').Pool(min(workers, len(jobs))) as pool:
            for _ in pool.imap_unordered(_write, jobs):
                bar.update()
    else:
        for job in jobs:
            _write(job)
            bar.update()
    print()


def _write(job: tuple) -> None:
    from projects.EPCDepth.depth_hints import write_hint

    write_hint(*job)


if __name__ == '__main__':
    run_tool(main)
