"""Fill the holes of depth maps along their images (colourisation)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from depth.cli.common import command_parser

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp', '.bmp')

EXAMPLES = ('depth fill-depth nyu/images nyu/depth --out nyu/filled --workers 4',)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(EXAMPLES, description=__doc__)
    parser.add_argument('images', type=Path, help='folder of images')
    parser.add_argument(
        'depths', type=Path, help='folder of 16-bit depth PNGs, named as the images'
    )
    parser.add_argument(
        '--out', type=Path, required=True, help='folder that receives the filled depth PNGs'
    )
    parser.add_argument(
        '--depth-scale',
        type=float,
        default=1000.0,
        help='stored integers per metre, read and written',
    )
    parser.add_argument(
        '--workers', type=int, default=1, help='processes; one image takes one core for seconds'
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Pair the files, fill each depth map that is not there yet."""
    args = build_parser().parse_args(argv)
    from functools import partial

    from mmengine.utils import track_parallel_progress, track_progress

    pairs = find_pairs(args.images, args.depths)
    # Files that are there already are kept, so that the same call continues an interrupted one.
    left = [pair for pair in pairs if not (args.out / f'{pair[0].stem}.png').is_file()]
    args.out.mkdir(parents=True, exist_ok=True)
    work = partial(fill_file, out=args.out, depth_scale=args.depth_scale)
    if args.workers > 1:
        track_parallel_progress(work, left, args.workers)
    elif left:
        track_progress(work, left)
    print(
        f'\n{len(left)} depth maps filled in {args.out}, {len(pairs) - len(left)} were there '
        'already'
    )
    return 0


def find_pairs(images: Path, depths: Path) -> list[tuple[Path, Path]]:
    """Return each depth map with the image of its name.

    Raises:
        FileNotFoundError: If there is no depth map or one has no image.
        ValueError: If two images have one stem.
    """
    by_stem: dict[str, Path] = {}
    for path in sorted(path for path in images.glob('*') if path.suffix.lower() in IMAGE_SUFFIXES):
        if path.stem in by_stem:
            raise ValueError(
                f'{by_stem[path.stem]} and {path} have the same stem, so it is not clear which one '
                'counts'
            )
        by_stem[path.stem] = path
    maps = sorted(depths.glob('*.png'))
    if not maps:
        raise FileNotFoundError(f'{depths} holds no depth PNG')
    missing = [path.name for path in maps if path.stem not in by_stem]
    if missing:
        raise FileNotFoundError(
            f'{images} has no image for {len(missing)} depth maps, the first is {missing[0]}'
        )
    return [(by_stem[path.stem], path) for path in maps]


def fill_file(pair: tuple[Path, Path], out: Path, depth_scale: float) -> None:
    """Fill one depth map and write it as 16-bit PNG."""
    import cv2

    from depth.data_tools.hole_filling import fill_depth
    from depth.datasets.transforms.loading import read_depth, read_image
    from depth.visualization import save_depth_png

    image, depth_map = pair
    gray = cv2.cvtColor(read_image(image), cv2.COLOR_BGR2GRAY)
    depth = read_depth(depth_map, depth_scale)
    try:
        filled = fill_depth(gray, depth)
    except ValueError as error:
        raise ValueError(f'{depth_map}: {error}') from error
    save_depth_png(out / f'{image.stem}.png', filled, depth_scale)
