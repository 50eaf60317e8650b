"""Render synthetic scenes to disk in the layout of the folder data set."""

import argparse
import json
from pathlib import Path

from depth.cli import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--world', choices=['rooms', 'streets'], default='rooms', help='which world')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='test', help='which scenes')
    parser.add_argument('--num-scenes', type=int, default=10, help='how many')
    parser.add_argument('--seed', type=int, default=0, help='another seed gives other scenes')
    parser.add_argument('--image-size', type=int, nargs=2, default=(96, 128), metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--out', type=Path, required=True, help='folder that receives images/, depth/, intrinsics.json')
    return parser.parse_args()


def main() -> None:
    """Render, and write images, 16-bit depth and the camera."""
    args = parse_args()
    from mmengine.utils import track_iter_progress

    from depth.datasets.scenes import camera_matrix, render_scene
    from depth.visualization import save_depth_png
    from depth.visualization.files import write_image

    size = tuple(args.image_size)
    scale = 1000.0 if args.world == 'rooms' else 256.0
    for index in track_iter_progress(range(args.num_scenes)):
        scene = render_scene(args.world, args.seed, index, args.split, size)
        write_image(args.out / 'images' / f'{index:05d}.png', scene['img'])
        save_depth_png(args.out / 'depth' / f'{index:05d}.png', scene['gt_depth'], depth_scale=scale)
    matrix = camera_matrix(args.world, size)
    camera = dict(fx=matrix[0, 0], fy=matrix[1, 1], cx=matrix[0, 2], cy=matrix[1, 2])
    (args.out / 'intrinsics.json').write_text(json.dumps(camera, indent=2) + '\n', encoding='utf-8')
    print(f'\n{args.num_scenes} scenes in {args.out}, depth_scale {scale:g}')


if __name__ == '__main__':
    run_tool(main)
