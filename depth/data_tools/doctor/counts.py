"""Findings about how many samples a split has."""

from collections.abc import Iterator
from pathlib import Path

from depth.integrity import sha256_of

from ..published_splits import PUBLISHED_SPLITS
from .finding import Finding
from .listing import Split

# (data set, its own name of the split): images with ground truth.
FOLDER_COUNTS = {
    ('cityscapes', 'train'): 2975,
    ('cityscapes', 'val'): 500,
    ('cityscapes', 'train_extra'): 19997,
    ('diode_indoor', 'val'): 325,
    ('diode_outdoor', 'val'): 446,
    ('hypersim', 'train'): 59543,
    ('hypersim', 'val'): 7386,
    ('hypersim', 'test'): 7690,
    ('ddad', 'val'): 3950,
    ('ibims', ''): 100,
    ('diml_outdoor', ''): 500,
}


def split_count(split: Split) -> Iterator[Finding]:
    """Compare the number of samples with the known one; published numbers hold for that list alone."""
    if split.rendered or not split.samples:
        return
    published = PUBLISHED_SPLITS.get(Path(split.ann_file).name)
    known = published.usable if published else FOLDER_COUNTS.get((split.dataset, split.partition))
    if known is not None and known != len(split.samples):
        where = split.ann_file or split.root
        yield Finding(
            'warning' if split.role == 'train' else 'error',
            'count',
            split.name,
            f'{len(split.samples)} images with ground truth in {where}, the published split has {known}',
            'numbers are comparable with published ones on the whole split only; fetch the list again with prepare.py, '
            'or give your own list another name',
            abs(known - len(split.samples)),
        )
    elif published and sha256_of(split.ann_file) != published.sha256:
        yield Finding(
            'note',
            'count',
            split.name,
            f'{split.ann_file} has the published number of lines but is not the published file byte for byte',
            'harmless if only the line ends or the order differ; prepare.py fetches the published file',
        )


def nothing_listed(split: Split) -> Iterator[Finding]:
    """Report why a split lists nothing."""
    if split.problem:
        harmless = split.problem.endswith('nothing to check')
        advice = 'nothing to do' if harmless else 'put it right first, the other checks of this split need it'
        yield Finding('note' if harmless else 'error', 'listing', split.name, split.problem, advice)
