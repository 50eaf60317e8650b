"""Findings about an image, drive or scene that is listed twice, or in training and test at once."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

from depth.datasets.transforms.loading import load_depth
from depth.integrity import sha256_of

from .listing import Split
from .probe import Record
from .report import Finding, shorten


def listed_twice(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find images that one list names more than once, and depth maps that serve several images."""
    images = [record.image.path for record in records]
    depth_maps = []
    for record in records:
        if record.depth and record.depth.path != record.image.path:
            depth_maps.append(record.depth.path)
    repeated = _count_repeated(images)
    if repeated:
        message = f'listed more than once: {len(repeated)} images'
        advice = 'a line of the split file is there twice; drop one'
    else:
        # A repeated line repeats its depth map too, which needs no second finding.
        repeated = _count_repeated(depth_maps)
        message = f'listed more than once: {len(repeated)} depth maps'
        advice = 'each image needs its own depth map; look at these lines of the split file'
    if repeated:
        yield Finding(
            'warning', 'duplicate', split.name, message, advice, len(repeated), shorten(repeated)
        )


def _count_repeated(paths: list[str]) -> list[str]:
    """Return the paths that occur more than once, with their counts, in words."""
    return [f'{path}: {count} times' for path, count in Counter(paths).items() if count > 1]


def same_content(splits: list[Split], records: dict[str, list[Record]]) -> Iterator[Finding]:
    """Find image files of equal content: a waste within a split, a leak from training to test."""
    files_by_fingerprint: dict[tuple, dict[str, str]] = defaultdict(dict)
    for split in splits:
        for record in records[split.name]:
            if record.image.fingerprint:
                path = str(Path(record.image.path).resolve())
                files_by_fingerprint[record.image.fingerprint].setdefault(path, split.name)
    # The same file in two splits has one path here; leakage by path is found by _shared_paths.
    within: dict[str, list[str]] = defaultdict(list)
    across: dict[tuple[str, str], list[str]] = defaultdict(list)
    for candidates in files_by_fingerprint.values():
        if len(candidates) < 2:
            continue
        # The fingerprint looked at the ends of the files alone; the hashes tell for certain.
        for group in _equal(candidates):
            copies = list(group.items())
            original, home = copies[0]
            for path, name in copies[1:]:
                if name == home:
                    within[name].append(f'{path} = {original}')
                else:
                    across[tuple(sorted((home, name)))].append(f'{path} = {original}')
    for name, pairs in within.items():
        message = f'content of another image: {len(pairs)} images'
        advice = 'list each picture once; equal frames of a standing camera may stay, but know it'
        yield Finding('warning', 'duplicate', name, message, advice, len(pairs), shorten(pairs))
    roles = {split.name: split.role for split in splits}
    for (one, two), pairs in across.items():
        yield _in_two_splits((one, two), roles, pairs, 'equal content')
    yield from _shared_paths(splits, records)
    yield from _equal_depth(splits, records)


def _shared_paths(splits: list[Split], records: dict[str, list[Record]]) -> Iterator[Finding]:
    """Find files that two lists name."""
    roles = {split.name: split.role for split in splits}
    paths: dict[str, set[str]] = {}
    for split in splits:
        images = [Path(record.image.path).resolve() for record in records[split.name]]
        paths[split.name] = set(map(str, images))
    for one, two in combinations(paths, 2):
        shared = sorted(paths[one] & paths[two])
        if shared:
            yield _in_two_splits((one, two), roles, shared, 'in both lists')


def _equal_depth(splits: list[Split], records: dict[str, list[Record]]) -> Iterator[Finding]:
    """Find depth maps of equal content that training and another list have for different images.

    Two frames never have equal depth, so it is one image that was encoded twice.
    """
    by_fingerprint: dict[tuple, list[tuple[Split, Record]]] = defaultdict(list)
    for split in splits:
        for record in records[split.name]:
            if record.depth and record.depth.fingerprint and record.depth.path != record.image.path:
                by_fingerprint[record.depth.fingerprint].append((split, record))
    roles = {split.name: split.role for split in splits}
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entries in by_fingerprint.values():
        train_entries, test_entries = [], []
        for entry in entries:
            split = entry[0]
            (train_entries if split.role == 'train' else test_entries).append(entry)
        for (train, first), (test, second) in product(train_entries, test_entries):
            if _have_equal_images(first, second) or not _have_equal_depth(first, second):
                continue
            example = f'{second.image.path} has the depth map of {first.image.path}'
            pairs[train.name, test.name].append(example)
    for names, examples in pairs.items():
        yield _in_two_splits(names, roles, examples, 'depth maps of equal content')


def _have_equal_images(first: Record, second: Record) -> bool:
    """Return whether the images are one file or equal files, which is found by their own check."""
    if Path(first.image.path).resolve() == Path(second.image.path).resolve():
        return True
    return (
        first.image.fingerprint is not None and first.image.fingerprint == second.image.fingerprint
    )


def _have_equal_depth(first: Record, second: Record) -> bool:
    """Return whether the depth maps are one file or equal files, and show something."""
    one, two = Path(first.depth.path), Path(second.depth.path)
    if one.resolve() != two.resolve() and sha256_of(one) != sha256_of(two):
        return False
    try:
        depth = load_depth(first.sample)
    except (OSError, ValueError):
        return False
    # All empty or constant maps are equal, and prove nothing about their images.
    valid = depth[depth > 0]
    return bool(valid.size and valid.min() < valid.max())


def _in_two_splits(
    names: tuple[str, str], roles: dict[str, str], pairs: list[str], words: str
) -> Finding:
    """Return the finding of images in two splits: a leak if one of them is for training."""
    # Two training lists, or validation and test, may share images: no score suffers from it.
    is_leak = [roles[name] for name in names].count('train') == 1
    advice = 'the images weigh twice; leave them out of one of the lists if that is not meant'
    if is_leak:
        advice = (
            'a model must not be scored on images it was trained on: take them out of one of the '
            'lists'
        )
    kind, severity = ('leak', 'error') if is_leak else ('duplicate', 'warning')
    where = ', '.join(names)
    return Finding(
        severity, kind, where, f'{words}: {len(pairs)} images', advice, len(pairs), shorten(pairs)
    )


def _equal(candidates: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield groups of files that are equal as a whole."""
    by_hash: dict[str, dict[str, str]] = defaultdict(dict)
    for path, name in candidates.items():
        by_hash[sha256_of(path)][path] = name
    for group in by_hash.values():
        if len(group) > 1:
            yield group


def shared_groups(splits: list[Split]) -> Iterator[Finding]:
    """Find drives or scenes that a training list shares with a validation or test list."""
    for train, test in product(splits, splits):
        # Two data sets of one set of drives, as KITTI's lists are, may share them too.
        is_comparable = train.recordings == test.recordings
        if train.role != 'train' or test.role == 'train' or not is_comparable:
            continue
        shared = sorted(count_scenes(train).keys() & count_scenes(test).keys())
        if not shared:
            continue
        severity, as_published = 'error', ''
        advice = 'frames of one drive are nearly equal: put each drive or scene into one list only'
        if test.role in test.source.SPLITS_SHARING_SCENES:
            severity, as_published = 'note', ', as published'
            advice = 'the validation score does not tell how it does on new drives'
        yield Finding(
            severity,
            'leak',
            f'{train.name}, {test.name}',
            f'drives or scenes in both lists{as_published}: {len(shared)}',
            advice,
            len(shared),
            shorten(shared),
        )


def reserved_scenes(splits: list[Split]) -> Iterator[Finding]:
    """Find scenes of the published test set in a training list, also where nothing is tested."""
    for split in splits:
        if split.role != 'train' or split.source is None:
            continue
        counts = count_scenes(split)
        reserved = sorted(counts.keys() & split.source.TEST_SCENES)
        if not reserved:
            continue
        images = sum(map(counts.get, reserved))
        test_set = f'{split.source.TEST_SET} test set'
        # The test set of the class itself, or one that others made of the same recordings, which
        # counts only for who means to score on it.
        if split.source.TEST_SET_IS_OWN:
            severity = 'error'
            advice = 'take these drives or scenes out, or use the published training list'
        else:
            severity = 'note'
            advice = f'never score a model trained with this list on the {test_set}'
        yield Finding(
            severity,
            'leak',
            split.name,
            f'drives or scenes of the {test_set}: {len(reserved)}, with {images} of '
            f'{len(split.samples)} training images',
            advice,
            images,
            shorten(reserved),
        )


def count_scenes(split: Split) -> Counter[str]:
    """Return the number of images of each drive or scene; empty where the paths do not tell."""
    counts: Counter[str] = Counter()
    if split.source is None or split.source.SCENE_OF is None:
        return counts
    pattern = re.compile(split.source.SCENE_OF)
    for sample in split.samples:
        match = pattern.search(sample['img_path'].replace('\\', '/'))
        if match:
            counts[match.group()] += 1
    return counts
