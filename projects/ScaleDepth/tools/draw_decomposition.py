"""Draw ScaleDepth predictions: relative depth, metric depth, scale and scene categories."""

import argparse
from pathlib import Path

from depth.cli.common import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('images', nargs='+', type=Path, help='image files, indoor and outdoor')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/decomposition.png'),
        help='the picture, one row an image',
    )
    parser.add_argument('--device', default='cpu', help='where the model runs')
    return parser.parse_args()


def main() -> None:
    """Run the model on each image and stack the rows."""
    args = parse_args()
    import numpy as np

    from depth.apis import init_model
    from depth.engine.custom_modules import make_projects_importable
    from depth.visualization.output_files import write_image

    make_projects_importable(Path(__file__))
    from projects.ScaleDepth.scaledepth.pictures import draw_decomposition

    model = init_model(args.config, args.checkpoint, device=args.device)
    rows = [draw_decomposition(model, path) for path in args.images]
    width = max(row.shape[1] for row in rows)
    rows = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    write_image(args.out, np.vstack(rows))
    print(args.out)


if __name__ == '__main__':
    run_tool(main)
