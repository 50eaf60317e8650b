"""Findings about files: missing, truncated, unreadable, sizes that differ, 8-bit depth."""

from collections.abc import Iterator

from .finding import Finding, some
from .listing import Split
from .probe import OTHER_FILES, FileProbe, Record

HINTS = 'compute them with the tool that the config names, or train without (hint_root=None)'
COPY_AGAIN = 'copy or unpack these files again; tools/dataset_converters/prepare.py checks archives by size and hash'


def missing_files(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find listed files that are not there."""
    compare = f'compare data_root, data_prefix and {split.ann_file or "the folders"} with docs/dataset_prepare.md'
    for what, probes in _kinds(split, records):
        lost = [probe.path for probe in probes if probe.problem == 'missing']
        if lost:
            every = ' (every one: is data_root or data_prefix right?)' if len(lost) == len(probes) else ''
            yield Finding(
                'error',
                'missing',
                split.name,
                f'{len(lost)} of {len(probes)} {what}s do not exist{every}',
                HINTS if what == 'depth hint' else compare,
                len(lost),
                some(lost),
            )


def damaged_files(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find files that are empty, cut off or no image or depth map."""
    for what, probes in _kinds(split, records):
        for kind, words in (('empty', 'empty'), ('truncated', 'cut off'), ('unreadable', 'unreadable')):
            bad = [probe for probe in probes if probe.problem.partition(':')[0] == kind]
            if bad:
                shown = [probe.path if kind != 'unreadable' else f'{probe.path}: {probe.problem}' for probe in bad]
                message = f'{words}: {len(bad)} of {len(probes)} {what}s'
                yield Finding('error', kind, split.name, message, COPY_AGAIN, len(bad), some(shown))
    failed = [problem for record in records for problem in record.problems]
    if failed:
        advice = 'see docs/dataset_prepare.md for what belongs beside each image'
        what = f'a file or value lacks: {len(failed)} of {len(records)} samples'
        yield Finding('error', 'details', split.name, what, advice, len(failed), some(failed))


def size_mismatches(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find depth maps that are not of their image's size."""
    bad = [
        f'{record.depth.path}: {_text(record.depth.size)}, its image {_text(record.image.size)}'
        for record in records
        if record.depth and record.depth.size and record.image.size and record.depth.size != record.image.size
    ]
    if bad:
        advice = 'each pixel needs its own depth: take the depth map that belongs to the image, do not resize it'
        what = f'of another size than their images: {len(bad)} of {len(records)} depth maps'
        yield Finding('error', 'size', split.name, what, advice, len(bad), some(bad))


def shallow_depth(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find depth maps of 8 bits, which are pictures of depth and no depth."""
    bad = [record.depth.path for record in records if record.depth and record.depth.bits == 8]
    if bad:
        advice = 'take the original 16-bit files; a picture that was converted to 8 bits has lost its metres'
        what = f'8 bits: {len(bad)} of {len(records)} depth maps'
        yield Finding('error', 'bits', split.name, what, advice, len(bad), some(bad))


def rotated_images(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find images whose EXIF data ask to be rotated, which loading never does."""
    bad = [f'{r.image.path}: orientation {r.image.orientation}' for r in records if r.image.orientation != 1]
    if bad:
        advice = 'depth maps must be in rows and columns of the stored pixels: look at them with browse_dataset.py, or '
        advice += 'rotate images and intrinsics and remove the tag'
        what = f'an EXIF rotation, which is not applied: {len(bad)} of {len(records)} images'
        yield Finding('warning', 'rotation', split.name, what, advice, len(bad), some(bad))


def wrong_marker(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find a marker of rendered data beside data that it does not describe."""
    if not split.marker:
        return
    declared = split.marker.get('image_size')
    sizes = {record.image.size for record in records if record.image.size}
    is_right = split.rendered and (not sizes or declared is None or (declared[1], declared[0]) in sizes)
    if not is_right:
        advice = f'remove {split.marker["path"]} if these are measured data; otherwise render them again'
        what = f'{split.marker["path"]} says that the data are rendered, names or sizes say that they are not'
        yield Finding('warning', 'listing', split.name, what, advice, len(records))


def _kinds(split: Split, records: list[Record]) -> list[tuple[str, list[FileProbe]]]:
    depths = [record.depth for record in records if record.depth]
    kinds = [('image', [record.image for record in records]), ('depth map', depths)]
    for key, (what, roles) in OTHER_FILES.items():
        if split.role in roles:
            kinds.append((what, [record.others[key] for record in records if key in record.others]))
    return kinds


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'
