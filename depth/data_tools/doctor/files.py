"""Findings about files and cameras: missing, damaged, 8-bit or of another size; intrinsics."""

from collections.abc import Iterator

import numpy as np

from .listing import Split
from .probe import OTHER_FILES, FileProbe, FileRole, Record
from .report import Finding, shorten

DAMAGES = {'empty': 'empty', 'truncated': 'cut off', 'unreadable': 'unreadable'}
COPY_AGAIN = (
    'copy or unpack these files again; tools/dataset_converters/prepare.py checks archives by size '
    'and hash'
)


def missing_files(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find listed files that are not there."""
    compare = (
        f'compare data_root, data_prefix and {split.ann_file or "the folders"} with '
        'docs/dataset_prepare.md'
    )
    for role, probes in _group_probes(split, records):
        missing = [probe.path for probe in probes if probe.fault == 'missing']
        if missing:
            message = f'{len(missing)} of {len(probes)} {role.name}s do not exist'
            if len(missing) == len(probes):
                message += ' (every one: is data_root or data_prefix right?)'
            yield Finding(
                'error',
                'missing',
                split.name,
                message,
                role.remedy or compare,
                len(missing),
                shorten(missing),
            )


def damaged_files(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find files that are empty, cut off or no image or depth map."""
    for role, probes in _group_probes(split, records):
        for fault, words in DAMAGES.items():
            damaged = [probe for probe in probes if probe.fault == fault]
            if not damaged:
                continue
            examples = []
            for probe in damaged:
                reason = f': {probe.fault}: {probe.error}' if probe.error else ''
                examples.append(f'{probe.path}{reason}')
            message = f'{words}: {len(damaged)} of {len(probes)} {role.name}s'
            yield Finding(
                'error', fault, split.name, message, COPY_AGAIN, len(damaged), shorten(examples)
            )
    failed = [problem for record in records for problem in record.problems]
    if failed:
        advice = 'see docs/dataset_prepare.md for what belongs beside each image'
        message = f'a file or value lacks: {len(failed)} of {len(records)} samples'
        yield Finding('error', 'details', split.name, message, advice, len(failed), shorten(failed))


def size_mismatches(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find depth maps that are not of their image's size."""
    mismatches = []
    for record in records:
        image, depth = record.image, record.depth
        if depth and depth.size and image.size and depth.size != image.size:
            sizes = f'{_format_size(depth.size)}, its image {_format_size(image.size)}'
            mismatches.append(f'{depth.path}: {sizes}')
    if mismatches:
        advice = (
            'each pixel needs its own depth: take the depth map that belongs to the image, do not '
            'resize it'
        )
        message = (
            f'of another size than their images: {len(mismatches)} of {len(records)} depth maps'
        )
        yield Finding(
            'error', 'size', split.name, message, advice, len(mismatches), shorten(mismatches)
        )


def shallow_depth(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find depth maps of 8 bits, which are pictures of depth and no depth."""
    # 8 bits of any unit leave 255 steps: 4 cm over 10 m, or 31 cm over 80 m.
    shallow = [record.depth.path for record in records if record.depth and record.depth.bits == 8]
    if shallow:
        advice = (
            'take the original 16-bit files; a picture that was converted to 8 bits has lost its '
            'metres'
        )
        message = f'8 bits: {len(shallow)} of {len(records)} depth maps'
        yield Finding('error', 'bits', split.name, message, advice, len(shallow), shorten(shallow))


def rotated_images(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find images whose EXIF data ask to be rotated, which loading never does."""
    # `load_image` ignores the tag, because the depth map of such an image has none to go with it.
    rotated = []
    for record in records:
        if record.image.orientation != 1:
            rotated.append(f'{record.image.path}: orientation {record.image.orientation}')
    if rotated:
        advice = (
            'depth maps must be in rows and columns of the stored pixels: look at them with '
            'browse_dataset.py, or rotate images and intrinsics and remove the tag'
        )
        message = f'an EXIF rotation, which is not applied: {len(rotated)} of {len(records)} images'
        yield Finding(
            'warning', 'rotation', split.name, message, advice, len(rotated), shorten(rotated)
        )


def wrong_marker(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find a marker of rendered data beside data that it does not describe."""
    if not split.marker:
        return
    declared = split.marker.get('image_size')
    sizes = {record.image.size for record in records if record.image.size}
    # The marker has (height, width), as the configs; a probe has (width, height), as Pillow.
    is_right = split.rendered and (
        not sizes or declared is None or (declared[1], declared[0]) in sizes
    )
    if not is_right:
        advice = (
            f'remove {split.marker["path"]} if these are measured data; otherwise render them again'
        )
        message = (
            f'{split.marker["path"]} says that the data are rendered, names or sizes say that they '
            'are not'
        )
        yield Finding('warning', 'listing', split.name, message, advice, len(records))


def _group_probes(split: Split, records: list[Record]) -> list[tuple[FileRole, list[FileProbe]]]:
    """Return the probes of a split by role of the file, of those that the split needs."""
    every_split = ('train', 'val', 'test')
    depth_maps = [record.depth for record in records if record.depth]
    groups = [
        (FileRole('image', every_split), [record.image for record in records]),
        (FileRole('depth map', every_split), depth_maps),
    ]
    for key, role in OTHER_FILES.items():
        if split.role in role.roles:
            probes = [record.other_files[key] for record in records if key in record.other_files]
            groups.append((role, probes))
    return groups


def _format_size(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'


FOCAL_SHARE = (0.3, 4.0)  # of the image width: fields of view from 118 down to 14 degrees
ASPECT = (0.8, 1.25)  # fx / fy
CENTER = (0.3, 0.7)  # of width and height


def implausible_intrinsics(split: Split, records: list[Record]) -> Iterator[Finding]:
    """Find matrices that do not go with the size of their image."""
    faults = []
    for record in records:
        matrix = record.sample.get('cam_intrinsic')
        if matrix is not None and record.image.size:
            fault = intrinsics_fault(np.asarray(matrix, np.float64), *record.image.size)
            if fault:
                faults.append(f'{record.image.path}: {fault}')
    if faults:
        yield Finding(
            'error',
            'camera',
            split.name,
            f'intrinsics that do not go with the image: {len(faults)} of {len(records)} images',
            'was the image resized or cropped without its camera, or is it the matrix of another '
            'day or data set?',
            len(faults),
            shorten(faults),
        )


def intrinsics_fault(matrix: np.ndarray, width: int, height: int) -> str:
    """Return the fault of a pinhole matrix (3, 3) in pixels for an image, '' if there is none."""
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return f'the matrix is no finite 3x3 one: {matrix.tolist()}'
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    # A matrix of another resolution fails here or at the centre: all its entries are in pixels.
    if not FOCAL_SHARE[0] * width <= fx <= FOCAL_SHARE[1] * width:
        return f'fx = {fx:.4g} px for a width of {width} px'
    if not ASPECT[0] <= fx / fy <= ASPECT[1]:
        return f'fx = {fx:.4g} and fy = {fy:.4g} px: pixels are square, these are not'
    for name, center, size in (('cx', cx, width), ('cy', cy, height)):
        if not CENTER[0] * size <= center <= CENTER[1] * size:
            return f'{name} = {center:.4g} px in an image of {width}x{height} px'
    return ''
