"""List the shipped configs with their facts: ``depth list [PATTERN]``."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from depth.cli.common import command_parser
from depth.model_zoo import zoo_rows
from depth.shipped_configs import (
    config_paths,
    data_paths,
    list_models,
    shipped_root,
    similar_names,
)

EXAMPLES = (
    'depth list',
    "depth list 'scale*'",
    "depth list '*nyu*' --names",
    'depth list --data',
)
COLUMNS = ('config', 'method', 'data', 'input', 'params (M)', 'published abs_rel', 'weights')
LEGEND = """
published: abs_rel with mirrored images; none: nothing was published, ours: a recipe of this toolbox
weights:   depth of converted published weights against the published program (relative L2);
           names: their names and shapes fill the model, builds: of the published size, -: there are none
docs/model_zoo.md has the other metrics and where the files are."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='List the shipped configs, whose names every command takes. Facts come from '
        'the configs and from docs/model_zoo.md.',
    )
    parser.add_argument(
        'pattern', nargs='?', default='*', help='pattern of the names, in any case and in quotes'
    )
    parser.add_argument('--names', action='store_true', help='print names alone')
    parser.add_argument('--data', action='store_true', help='print the names of data sets instead')
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if no name matches."""
    args = build_parser().parse_args(argv)
    names = list_models(args.pattern)
    if args.data:
        print('\n'.join(data_paths()))
        return 0
    if not names:
        near = similar_names(args.pattern.strip('*'))
        raise ValueError(
            f'no shipped config is called {args.pattern!r}'
            + (f'; did you mean {", ".join(near)}?' if near else '')
        )
    if args.names:
        # Completions ask for every name that a command takes, data sets included.
        print('\n'.join([*names, *data_paths()] if args.pattern == '*' else names))
        return 0
    rows = [COLUMNS, *map(facts, names)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print('  '.join(cells).rstrip())
    print(f'{len(names)} configs')
    print(LEGEND)
    return 0


def facts(name: str) -> tuple[str, ...]:
    """Return the cells of a config, in the order of the columns."""
    from depth.engine.config import load_config

    path = config_paths()[name][0]
    cfg = load_config(path)
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader') or {}
    dataset = loader.get('dataset') or {}
    row = zoo_rows().get(name)
    return (
        name,
        row.method if row else method_folder(path),
        '+'.join(dict.fromkeys(dataset_names(dataset))) or '-',
        input_size(dataset),
        row.parameters if row else '-',
        row.abs_rel or '-' if row else '-',
        row.parity or '-' if row else '-',
    )


def method_folder(path: Path) -> str:
    """Return the folder of a method: that of the project, or of the config."""
    parts = path.relative_to(shipped_root()).parts
    return parts[1] if parts[0] == 'projects' else path.parent.name


def dataset_names(node: object) -> Iterator[str]:
    """Yield the types of the data sets in the config of a loader, without the word Dataset."""
    if isinstance(node, list | tuple):
        for item in node:
            yield from dataset_names(item)
    elif isinstance(node, dict):
        # A mixture or a wrapper is described by the data sets that it holds.
        inner = list(dataset_names(node.get('datasets'))) or list(
            dataset_names(node.get('dataset'))
        )
        if inner:
            yield from inner
        elif 'type' in node:
            name = node['type'] if isinstance(node['type'], str) else node['type'].__name__
            yield name.removesuffix('Dataset')


def input_size(dataset: dict) -> str:
    """Return height x width of a training image after the last crop or resize of the pipeline."""
    if dataset.get('datasets') and not dataset.get('pipeline'):
        return input_size(dataset['datasets'][0])
    for step in reversed(dataset.get('pipeline') or []):
        if 'crop_size' in step:
            return f'{step["crop_size"][0]}x{step["crop_size"][1]}'
        if isinstance(step.get('size'), list | tuple):
            return f'{step["size"][0]}x{step["size"][1]}'
        if isinstance(step.get('scale'), list | tuple):  # mmcv names the width first
            return f'{step["scale"][1]}x{step["scale"][0]}'
        if isinstance(step.get('height'), int):
            return f'{step["height"]}x{step["width"]}'
    size = dataset.get('image_size')
    return f'{size[0]}x{size[1]}' if size else 'any'
