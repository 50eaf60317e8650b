"""Draw the branches of SD-ConvTrans: base depth, detailed depth, difference and boundaries."""

import argparse
from pathlib import Path

from depth.cli.common import run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('images', nargs='+', type=Path, help='image files')
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/branches'),
        help='folder of the pictures',
    )
    parser.add_argument('--device', default='cpu', help='where the model runs')
    return parser.parse_args()


def main() -> None:
    """Run the model on each image and write one picture each."""
    args = parse_args()
    import torch

    from depth.apis import init_model
    from depth.apis.inference import prepare_image
    from depth.engine.custom_modules import make_projects_importable
    from depth.visualization.output_files import write_image

    make_projects_importable(Path(__file__))
    from projects.SDConvTrans.sdconvtrans.pictures import draw_branches

    model = init_model(args.config, args.checkpoint, device=args.device)
    for path in args.images:
        inputs = prepare_image(model, path)['inputs']
        with torch.inference_mode():
            outputs = model.outputs(inputs)
        maps = {name: value[0, 0].cpu().numpy() for name, value in outputs.items()}
        image = (inputs[0] * 255).round().byte().permute(1, 2, 0).flip(-1).cpu().numpy()  # BGR
        target = args.out_dir / f'{path.stem}.png'
        write_image(target, draw_branches(image, maps))
        print(target)


if __name__ == '__main__':
    run_tool(main)
