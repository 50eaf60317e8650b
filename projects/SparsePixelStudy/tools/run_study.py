"""Study which pixels a CNN and a transformer need, by mask networks trained against both.

python projects/SparsePixelStudy/tools/run_study.py --out-dir work_dirs/sparse_pixels
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import run_tool

REPO = Path(__file__).resolve().parents[3]
MODELS = dict(
    cnn='configs/densedepth/densedepth_r18_rooms.py',
    transformer='configs/synthetic/depthformer_tiny_rooms.py',
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/sparse_pixels'),
        help='where everything goes',
    )
    parser.add_argument(
        '--cnn',
        help='checkpoint of the first depth model; trained here if not given',
    )
    parser.add_argument(
        '--transformer',
        help='checkpoint of the second depth model; trained here if not given',
    )
    parser.add_argument(
        '--sparsity',
        type=float,
        nargs='+',
        default=[0.2, 0.3, 0.4, 0.6],
        help='weights of the mask term',
    )
    parser.add_argument('--iters', type=int, default=150, help='iterations of each mask network')
    parser.add_argument('--batch-size', type=int, default=4, help='images of a batch')
    parser.add_argument('--num-val', type=int, default=40, help='validation scenes')
    parser.add_argument('--device', default='cpu', help='where the models run')
    return parser.parse_args()


def main() -> None:
    """Train what is missing, run the study, write numbers and pictures."""
    args = parse_args()
    args.out_dir.mkdir(parents=True, exist_ok=True)
    checkpoints = {
        name: getattr(args, name) or train_depth_model(name, args.out_dir) for name in MODELS
    }
    from depth.engine.custom_modules import make_projects_importable

    make_projects_importable(Path(__file__))
    from projects.SparsePixelStudy.sparse_pixels.report import draw_curves, draw_masks, run_model

    results, networks, models = {}, {}, {}
    for name, checkpoint in checkpoints.items():
        models[name], networks[name], results[name] = run_model(name, checkpoint, args)
        write_atomically(args.out_dir / 'study.json', json.dumps(results, indent=2) + '\n')
    draw_curves(results, args.out_dir / 'curves.png')
    draw_masks(models, networks, args.out_dir / 'masks.png', device=args.device)
    print(f'numbers and pictures in {args.out_dir}: study.json, curves.png, masks.png')


def train_depth_model(name: str, out_dir: Path) -> Path:
    """Train a depth model on synthetic rooms unless its checkpoint exists; return its path."""
    work_dir = out_dir / name
    checkpoints = sorted(work_dir.glob('best_*.pth'))
    if not checkpoints:
        command = [
            sys.executable,
            str(REPO / 'tools/train.py'),
            str(REPO / MODELS[name]),
            '--work-dir',
            str(work_dir),
        ]
        subprocess.run(command, check=True)
        checkpoints = sorted(work_dir.glob('best_*.pth'))
    return checkpoints[-1]


if __name__ == '__main__':
    run_tool(main)
