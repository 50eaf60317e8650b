"""Findings about the same image in two places."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ..published_splits import sha256_of
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
    for (one, two), pairs in across.items():
        yield _leak(f'{one}, {two}', pairs, 'equal content')
    yield from _shared_paths(splits, records)


def _shared_paths(splits: list[Split], records: dict[str, list[Record]]) -> Iterator[Finding]:
    """Find files that both a training and another list name."""
    paths = {split.name: {str(Path(r.image.path).resolve()) for r in records[split.name]} for split in splits}
    for train in (split for split in splits if split.role == 'train'):
        for other in (split for split in splits if split.role != 'train'):
            shared = sorted(paths[train.name] & paths[other.name])
            if shared:
                yield _leak(f'{train.name}, {other.name}', shared, 'in both lists')


def _leak(names: str, pairs: list[str], words: str) -> Finding:
    severity = 'error' if 'train' in names else 'warning'
    what = f'{words}: {len(pairs)} images'
    advice = 'a model must not be scored on images it was trained on: take them out of one of the lists'
    return Finding(severity, 'leak', names, what, advice, len(pairs), some(pairs))


def _equal(candidates: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield groups of files that are equal as a whole; the fingerprint looked at their ends alone."""
    by_hash: dict[str, dict[str, str]] = defaultdict(dict)
    for path, name in candidates.items():
        by_hash[sha256_of(path)][path] = name
    yield from (group for group in by_hash.values() if len(group) > 1)


def _images_repeat(records: list[Record]) -> bool:
    paths = [record.image.path for record in records]
    return len(set(paths)) < len(paths)
