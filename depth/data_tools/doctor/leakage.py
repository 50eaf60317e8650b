"""Findings about drives and scenes that are in training and test at once."""

import re
from collections import Counter
from collections.abc import Iterator

from .finding import Finding, some
from .listing import Split

DRIVE = r'\d{4}_\d\d_\d\d_drive_\d{4}'
# What of an image's path names the drive or scene that must not be in two splits.
GROUPS = {
    'kitti': DRIVE,
    'kitti_benchmark': DRIVE,
    'kitti_raw': DRIVE,
    'nyu': r'[^/]+(?=/rgb_)',
    'hypersim': r'ai_\d{3}_\d{3}',
    'diode_indoor': r'scene_\d+',
    'diode_outdoor': r'scene_\d+',
    'ddad': r'(?<=/)\d{6}(?=/)',
    'cityscapes': r'[^/]+(?=/[^/]+_leftImg8bit)',
}
SHARED_BY_DESIGN = {'kitti_raw': 'val'}  # the published validation list takes frames of training drives
EIGEN_TEST_DRIVES = frozenset(
    f'2011_{drive}'
    for drive in (
        '09_26_drive_0002 09_26_drive_0009 09_26_drive_0013 09_26_drive_0020 09_26_drive_0023 09_26_drive_0027 '
        '09_26_drive_0029 09_26_drive_0036 09_26_drive_0046 09_26_drive_0048 09_26_drive_0052 09_26_drive_0056 '
        '09_26_drive_0059 09_26_drive_0064 09_26_drive_0084 09_26_drive_0086 09_26_drive_0093 09_26_drive_0096 '
        '09_26_drive_0101 09_26_drive_0106 09_26_drive_0117 09_28_drive_0002 09_29_drive_0071 09_30_drive_0016 '
        '09_30_drive_0018 09_30_drive_0027 10_03_drive_0027 10_03_drive_0047'
    ).split()
)


def shared_groups(splits: list[Split]) -> Iterator[Finding]:
    """Find drives or scenes that a training list shares with a validation or test list of the same data set."""
    for train in (split for split in splits if split.role == 'train'):
        for other in (split for split in splits if split.role != 'train'):
            # KITTI's lists are made from one set of drives.
            if train.dataset != other.dataset and not train.dataset[:5] == other.dataset[:5] == 'kitti':
                continue
            shared = groups_of(train).keys() & groups_of(other).keys()
            if not shared:
                continue
            design = SHARED_BY_DESIGN.get(other.dataset) == other.role
            yield Finding(
                'note' if design else 'error',
                'leak',
                f'{train.name}, {other.name}',
                f'drives or scenes in both lists{", as published" if design else ""}: {len(shared)}',
                'the validation score does not tell how it does on new drives'
                if design
                else 'frames of one drive are nearly equal: put each drive or scene into one list only',
                len(shared),
                some(sorted(shared)),
            )


def eigen_test_drives(splits: list[Split]) -> Iterator[Finding]:
    """Find drives of the Eigen test set in a KITTI training list, whatever is tested here."""
    for split in splits:
        if split.role != 'train' or not split.dataset.startswith('kitti'):
            continue
        groups = groups_of(split)
        found = sorted(groups.keys() & EIGEN_TEST_DRIVES)
        if not found:
            continue
        # The benchmark is another split of the same drives: it is no fault there, but the model is spoilt for Eigen.
        benchmark = split.dataset == 'kitti_benchmark'
        images = sum(groups[drive] for drive in found)
        yield Finding(
            'note' if benchmark else 'error',
            'leak',
            split.name,
            f'drives of the Eigen test set: {len(found)}, with {images} of {len(split.samples)} training images',
            'never score a model trained with this list on the Eigen test set'
            if benchmark
            else 'take these drives out, or use the published kitti_eigen_train.txt',
            images,
            some(found),
        )


def groups_of(split: Split) -> Counter[str]:
    """Return how many images of a split are from each drive or scene; empty where the paths do not tell."""
    pattern = GROUPS.get(split.dataset)
    if pattern is None:
        return Counter()
    found = (re.search(pattern, sample['img_path'].replace('\\', '/')) for sample in split.samples)
    return Counter(match.group() for match in found if match)
