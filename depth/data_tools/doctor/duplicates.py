"""Findings about the same image in two places."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

from depth.datasets.transforms.loading import load_depth
from depth.integrity import sha256_of

from .finding import Finding, some
from .listing import Split
from .probe import Record


def listed_twice(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find images that one list names more than once, and depth maps that serve several images."""
    for what, paths, advice in (
        ('images', [r.image.path for r in records], 'a line of the split file is there twice; drop one'),
        (
            'depth maps',
            [r.depth.path for r in records if r.depth and r.depth.path != r.image.path],
            'each image needs its own depth map; look at these lines of the split file',
        ),
    ):
        counts: dict[str, int] = defaultdict(int)
        for path in paths:
            counts[path] += 1
        twice = [f'{path}: {count} times' for path, count in counts.items() if count > 1]
        if twice and not (what == 'depth maps' and _images_repeat(records)):
            message = f'listed more than once: {len(twice)} {what}'
            yield Finding('warning', 'duplicate', split.name, message, advice, len(twice), some(twice))


def same_content(splits: list[Split], records: dict[str, list[Record]]) -> Iterator[Finding]:
    """Find different image files of equal content: within a split a waste, between training and test a leak."""
    places: dict[tuple, dict[str, str]] = defaultdict(dict)
    for split in splits:
        for record in records[split.name]:
            if record.image.fingerprint:
                places[record.image.fingerprint].setdefault(str(Path(record.image.path).resolve()), split.name)
    # The same file in two splits has one path here; leakage by path is found by _shared_paths.
    groups = [group for candidates in places.values() if len(candidates) > 1 for group in _equal(candidates)]
    within: dict[str, list[str]] = defaultdict(list)
    across: dict[tuple[str, str], list[str]] = defaultdict(list)
    for group in groups:
        (first, home), *others = group.items()
        for path, name in others:
            if name == home:
                within[name].append(f'{path} = {first}')
            else:
                across[tuple(sorted((home, name)))].append(f'{path} = {first}')
    for name, pairs in within.items():
        what = f'content of another image: {len(pairs)} images'
        advice = 'list each picture once; equal frames of a standing camera may stay, but know it'
        yield Finding('warning', 'duplicate', name, what, advice, len(pairs), some(pairs))
    roles = {split.name: split.role for split in splits}
    for (one, two), pairs in across.items():
        yield _in_two_splits((one, two), roles, pairs, 'equal content')
    yield from _shared_paths(splits, records)
    yield from _equal_depth(splits, records)


def _shared_paths(splits: list[Split], records: dict[str, list[Record]]) -> Iterator[Finding]:
    """Find files that two lists name."""
    roles = {split.name: split.role for split in splits}
    paths = {split.name: {str(Path(r.image.path).resolve()) for r in records[split.name]} for split in splits}
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
        trained = [entry for entry in entries if entry[0].role == 'train']
        others = [entry for entry in entries if entry[0].role != 'train']
        for (train, first), (other, second) in product(trained, others):
            if _have_equal_images(first, second) or not _have_equal_depth(first, second):
                continue
            pairs[train.name, other.name].append(f'{second.image.path} has the depth map of {first.image.path}')
    for names, examples in pairs.items():
        yield _in_two_splits(names, roles, examples, 'depth maps of equal content')


def _have_equal_images(first: Record, second: Record) -> bool:
    """Return whether the images are one file or equal files, which is found by their own check."""
    if Path(first.image.path).resolve() == Path(second.image.path).resolve():
        return True
    return first.image.fingerprint is not None and first.image.fingerprint == second.image.fingerprint


def _have_equal_depth(first: Record, second: Record) -> bool:
    """Return whether the depth maps are one file or equal files, and show something."""
    one, two = Path(first.depth.path), Path(second.depth.path)
    if one.resolve() != two.resolve() and sha256_of(one) != sha256_of(two):
        return False
    try:
        depth = load_depth(first.sample)
    except (OSError, ValueError):
        return False
    valid = depth[depth > 0]
    return bool(valid.size and valid.min() < valid.max())


def _in_two_splits(names: tuple[str, str], roles: dict[str, str], pairs: list[str], words: str) -> Finding:
    """Return the finding of images in two splits: a leak if one of them is for training."""
    is_leak = [roles[name] for name in names].count('train') == 1
    advice = 'the images weigh twice; leave them out of one of the lists if that is not meant'
    if is_leak:
        advice = 'a model must not be scored on images it was trained on: take them out of one of the lists'
    kind, severity = ('leak', 'error') if is_leak else ('duplicate', 'warning')
    where = ', '.join(names)
    return Finding(severity, kind, where, f'{words}: {len(pairs)} images', advice, len(pairs), some(pairs))


def _equal(candidates: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield groups of files that are equal as a whole; the fingerprint looked at their ends alone."""
    by_hash: dict[str, dict[str, str]] = defaultdict(dict)
    for path, name in candidates.items():
        by_hash[sha256_of(path)][path] = name
    yield from (group for group in by_hash.values() if len(group) > 1)


def _images_repeat(records: list[Record]) -> bool:
    paths = [record.image.path for record in records]
    return len(set(paths)) < len(paths)
