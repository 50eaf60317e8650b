"""Print the scales that ScaleDepth predicts for the scenes of a config's test set, by data set."""

import argparse

from depth.cli.common import add_cfg_options, parse_cfg_options, run_tool


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--device', default='cpu', help='where the model runs')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Run the model on every test image; print the range and median of each data set's scales."""
    args = parse_args()
    import statistics

    import torch

    from depth.apis import init_model
    from depth.registry import DATASETS

    model = init_model(
        args.config,
        args.checkpoint,
        args.device,
        parse_cfg_options(args.cfg_options),
    )
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    scales: dict[str, list[float]] = {}
    for index in range(len(dataset)):
        item = dataset[index]
        batch = model.data_preprocessor(
            dict(inputs=[item['inputs']], data_samples=[item['data_samples']]),
        )
        with torch.inference_mode():
            scale = model.decode_head(model.extract_feat(batch['inputs']))['scale'].item()
        scales.setdefault(item['data_samples'].dataset, []).append(scale)
    for name, values in scales.items():
        least, median, greatest = min(values), statistics.median(values), max(values)
        print(
            f'{name}: {len(values)} images, scale {least:.2f} to {greatest:.2f} m, median '
            f'{median:.2f} m',
        )


if __name__ == '__main__':
    run_tool(main)
