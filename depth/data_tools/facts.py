"""Facts of all registered data sets, and the table of them in the documentation."""

import sys
from pathlib import Path

from depth import datasets as shipped
from depth.atomic_write import write_atomically
from depth.datasets.base import BaseDepthDataset
from depth.registry import DATASETS

TABLE_START, TABLE_END = '<!-- data sets: begin -->\n', '<!-- data sets: end -->\n'
HEADER = ('NAME', 'class', 'config in `configs/_base_/datasets/`', 'images', 'range (m)', 'licence')


def list_datasets() -> list[type[BaseDepthDataset]]:
    """Return the registered data set classes on disk: the shipped ones by name, then others."""
    shipped_classes, project_classes = [], []
    for dataset in DATASETS.module_dict.values():
        if not isinstance(dataset, type) or not issubclass(dataset, BaseDepthDataset):
            continue
        if _is_shipped(dataset):
            shipped_classes.append(dataset)
        else:
            project_classes.append(dataset)
    return sorted(shipped_classes, key=lambda dataset: dataset.__name__) + project_classes


def _is_shipped(dataset: type[BaseDepthDataset]) -> bool:
    """Return whether a class is of this package, not of a project or a user's own file."""
    return dataset.__module__.startswith(f'{shipped.__name__}.')


def describe_counts(dataset: type[BaseDepthDataset]) -> str:
    """Return the published numbers of images in words."""
    counts = []
    for name, split in dataset.SPLIT_FILES.items():
        count = f'`{name}` {split.usable}'
        # KITTI's Eigen test list has 697 lines; 652 of them have ground truth and are scored.
        if split.usable != split.lines:
            count += f' of {split.lines} with ground truth'
        counts.append(count)
    counts += [f'`{name}` {count}' for name, count in dataset.SPLIT_COUNTS.items()]
    return ', '.join(counts) or 'not published'


def format_table() -> str:
    """Return the Markdown table of the shipped data sets that can be prepared."""
    rows = [HEADER, ['---'] * len(HEADER)]
    for dataset in list_datasets():
        if not dataset.PREPARE_NAME or not _is_shipped(dataset):
            continue
        rows.append(
            [
                f'`{dataset.PREPARE_NAME}`',
                f'`{dataset.__name__}`',
                ', '.join(f'`{config}`' for config in dataset.CONFIGS),
                describe_counts(dataset),
                f'{dataset.METAINFO["max_depth"]:g}',
                f'[{dataset.LICENCE}]({dataset.PAGE})',
            ]
        )
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def update_page(path: str | Path) -> bool:
    """Write the table between the two marks of a page and return whether that changed it."""
    text = Path(path).read_text(encoding='utf-8')
    before, _, from_table = text.partition(TABLE_START)
    _, _, after = from_table.partition(TABLE_END)
    updated = before + TABLE_START + format_table() + TABLE_END + after
    if updated != text:
        write_atomically(Path(path), updated)
    return updated != text


if __name__ == '__main__':
    for page in sys.argv[1:]:
        update_page(page)
