"""Options of ``depth infer`` for pictures, point clouds and videos, and their run."""

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depth.apis import DepthInferencer

# Names are repeated here so that --help imports nothing; a test compares them with the library's.
OUTPUTS = ('png', 'npy', 'color', 'panel', 'ply', 'glb')
DEFAULT_OUTPUTS = ('png', 'npy', 'color', 'panel', 'ply')
COLOR_MAPS = ('turbo', 'viridis', 'magma', 'inferno', 'plasma', 'cividis')


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of results, colours and point clouds."""
    parser.add_argument(
        '--outputs',
        nargs='+',
        choices=OUTPUTS,
        help=f'kinds of results to write (default: {" ".join(DEFAULT_OUTPUTS)}; of a video color)',
    )
    group = parser.add_argument_group('pictures')
    group.add_argument(
        '--range',
        nargs='+',
        default=['protocol'],
        metavar='NEAR FAR',
        help='near and far end of the colours, the same for all images; or protocol: the range of '
        "the config's test protocol; first: that of the first image; image: each image its own",
    )
    group.add_argument('--colormap', choices=COLOR_MAPS, default='turbo', help='colours')
    group.add_argument(
        '--color-by',
        choices=['depth', 'inverse_depth'],
        default='depth',
        help='quantity of which equal steps are equal steps of colour; inverse_depth shows near '
        'things in more colours',
    )
    group = parser.add_argument_group('point clouds')
    group.add_argument(
        '--edge-cut',
        type=float,
        metavar='SHARE',
        help='leave out points at depth edges: where depth varies by more than this share of '
        'itself within 3x3 pixels, such as 0.04 (default: none are left out)',
    )
    group.add_argument(
        '--max-distance', type=float, metavar='METRES', help='leave out points farther away'
    )
    group.add_argument(
        '--max-points', type=int, metavar='N', help='largest number of points, chosen at random'
    )
    group.add_argument(
        '--y-up',
        action='store_true',
        help='PLY with y up and z backwards, as viewers of OpenGL expect (GLB always is)',
    )


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add batches, videos, cameras and sequences."""
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        metavar='N',
        help='largest number of images of one size that the model sees at once',
    )
    group = parser.add_argument_group('videos (INPUT is a video file or the index of a camera)')
    group.add_argument(
        '--as-video', action='store_true', help='take a folder of images, in order, as one video'
    )
    group.add_argument(
        '--align-scale',
        action='store_true',
        help='remove the flicker of the scale from frame to frame, from past frames only',
    )
    group.add_argument('--every', type=int, default=1, metavar='N', help='use each N-th frame')
    group.add_argument('--max-frames', type=int, metavar='N', help='stop after N frames')
    group.add_argument(
        '--fps', type=float, help='frames a second, where the video does not say (default: 30)'
    )


def run_inference(inferencer: 'DepthInferencer', args: argparse.Namespace) -> int:
    """Predict what the arguments name and print a summary.

    Args:
        inferencer: The model.
        args: Of a parser with ``input``, ``out_dir``, ``intrinsics``, ``fov``, ``sparse_depth``,
            ``sparse_scale`` and the options of this module.

    Returns:
        0, or 1 if an image could not be processed.
    """
    from depth.apis.results import PictureOptions
    from depth.apis.video import is_video
    from depth.visualization import CloudOptions

    cloud = CloudOptions(args.edge_cut, args.max_distance, args.max_points, args.y_up)
    by_inverse = args.color_by == 'inverse_depth'
    pictures = PictureOptions(parse_range(args.range), args.colormap, by_inverse, cloud)
    options = dict(
        out_dir=args.out_dir,
        intrinsics=args.intrinsics,
        fov=args.fov,
        show_progress=True,
        pictures=pictures,
        batch_size=args.batch_size,
    )
    if args.as_video or is_video(args.input):
        if args.sparse_depth:
            raise ValueError(
                '--sparse-depth is for images; for a video write its frames to a folder and name '
                'the points like them'
            )
        result = inferencer.process_video(
            args.input,
            outputs=args.outputs or ('color',),
            align_scale=args.align_scale,
            every=args.every,
            max_frames=args.max_frames,
            fps=args.fps,
            **options,
        )
        count, errors = f'{result["frames"]} frames', {}
    else:
        result = inferencer(
            args.input,
            outputs=args.outputs or DEFAULT_OUTPUTS,
            return_predictions=False,
            sparse_depth=args.sparse_depth,
            sparse_scale=args.sparse_scale,
            **options,
        )
        errors = result['errors']
        count = f'{len(result["images"]) - len(errors)} images'
    print(f'{count} done, {len(result["files"])} files in {args.out_dir}')
    for note in result['notes']:
        print(f'note: {note}')
    for message in errors.values():
        print(f'error: {message}', file=sys.stderr)
    return 1 if errors else 0


def parse_range(words: list[str]) -> tuple[float, float] | str:
    """Return the colour range of ``--range``: two numbers, or a word.

    Raises:
        ValueError: If it is neither.
    """
    if len(words) == 1 and words[0] in ('protocol', 'first', 'image'):
        return words[0]
    try:
        near, far = map(float, words)
    except ValueError as error:
        raise ValueError(
            '--range takes two numbers, NEAR FAR, or one of protocol, first, image; got '
            f'{" ".join(words)}'
        ) from error
    return near, far
