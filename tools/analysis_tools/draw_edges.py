"""Draw depth maps and depth edges of several models on images of the first config's test set.

    python tools/analysis_tools/draw_edges.py A.py a.pth B.py b.pth --indices 0 5 --out edges.png

The picture has one row an image: image, true depth, then depth and edges of each model. Edges are
green where the ground truth has the same edge, red where it has none, and grey where only the
ground truth has one. Ground truth must be dense.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from depth.cli.common import run_tool

if TYPE_CHECKING:
    import numpy as np
    import torch

HEIGHT = 192  # of a row, pixels
SHARED, FALSE, MISSED, NONE = (60, 160, 60), (40, 40, 220), (190, 190, 190), (255, 255, 255)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        'models', nargs='+', metavar='CONFIG CHECKPOINT', help='pairs of config and checkpoint'
    )
    parser.add_argument(
        '--indices',
        type=int,
        nargs='+',
        default=[0],
        help='indices of the images in the test set (default 0)',
    )
    parser.add_argument(
        '--ratio',
        type=float,
        default=1.05,
        help='minimal ratio of the depths of two neighbours at an edge (default 1.05)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/edges.png'),
        help='file of the picture (default: %(default)s)',
    )
    parser.add_argument(
        '--device', default='cpu', help='device of the models (default: %(default)s)'
    )
    return parser.parse_args()


def main() -> None:
    """Run each model on each image and write the stacked rows."""
    args = parse_args()
    if len(args.models) % 2:
        raise ValueError(
            f'models come in pairs of config and checkpoint, got {len(args.models)} paths'
        )
    import numpy as np

    from depth.apis import init_model
    from depth.registry import DATASETS
    from depth.visualization.output_files import write_image

    pairs = list(zip(args.models[::2], args.models[1::2], strict=True))
    models = {
        Path(config).stem: init_model(config, checkpoint, args.device)
        for config, checkpoint in pairs
    }
    dataset = DATASETS.build(next(iter(models.values())).cfg.test_dataloader.dataset)
    outside = [index for index in args.indices if not 0 <= index < len(dataset)]
    if outside:
        raise ValueError(f'--indices: the test set has {len(dataset)} images, got {outside[0]}')
    rows = [draw_row(models, dataset[index], args.ratio) for index in args.indices]
    write_image(args.out, np.vstack(rows))
    print(args.out)


def draw_row(models: dict, item: dict, ratio: float) -> 'np.ndarray':
    """Return the BGR uint8 row of one item of the test set."""
    import torch

    from depth.visualization import colorize_depth
    from depth.visualization.panel import join_tiles

    target = torch.as_tensor(item['data_samples'].gt_depth).squeeze()
    low = target[target > 0].quantile(0.01).item()
    high = target[target > 0].quantile(0.99).item()
    tiles = [
        ('image', item['inputs'].permute(1, 2, 0).numpy()),
        ('truth', colorize_depth(target.numpy(), low, high)),
    ]
    for name, model in models.items():
        batch = model.data_preprocessor(
            dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        )
        with torch.inference_mode():
            pred = model(batch['inputs'], mode='tensor')[0, 0].cpu()
        tiles += [
            (name, colorize_depth(pred.numpy(), low, high)),
            ('edges', draw_edges(pred, target, ratio)),
        ]
    return join_tiles([(name, _tile(picture)) for name, picture in tiles])


def draw_edges(pred: 'torch.Tensor', target: 'torch.Tensor', ratio: float) -> 'np.ndarray':
    """Return the edges of a prediction and of the ground truth, both (H, W), as one BGR uint8 picture."""
    import numpy as np

    from depth.evaluation.detail import edge_signs

    picture = np.full((*pred.shape, 3), NONE, np.uint8)
    masks = {MISSED: [], FALSE: [], SHARED: []}
    for dim in (0, 1):
        pred_signs = edge_signs(pred, dim, ratio)
        true_signs = edge_signs(target, dim, ratio)
        masks[MISSED].append((pred_signs == 0) & (true_signs != 0))
        masks[FALSE].append((pred_signs != 0) & (pred_signs != true_signs))
        masks[SHARED].append((pred_signs == true_signs) & (true_signs != 0))
    # Later colours cover earlier ones where a pixel has edges in both directions.
    for color, directions in masks.items():
        for mask in directions:
            height, width = mask.shape
            picture[:height, :width][mask.numpy()] = color
    return picture


def _tile(picture: 'np.ndarray') -> 'np.ndarray':
    import cv2
    import numpy as np

    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    return cv2.resize(
        np.ascontiguousarray(picture), (width, HEIGHT), interpolation=cv2.INTER_NEAREST
    )


if __name__ == '__main__':
    run_tool(main)
