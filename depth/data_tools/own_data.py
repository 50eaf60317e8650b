"""A look at a folder of images and depth maps: what a training on it uses.

What can be seen (folders, pairs, sizes, kinds of files, values) is not asked for; what is assumed
is noted, and what could mean two things is refused with the option that decides it.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from depth.datasets.folder import DEPTH_SUFFIXES, IMAGE_SUFFIXES
from depth.datasets.transforms.loading import read_image, read_stored, stored_to_metres

IMAGE_FOLDERS = ('images', 'image', 'rgb', 'color', 'img')
DEPTH_FOLDERS = ('depth', 'depths', 'depth_maps', 'gt', 'groundtruth')
VAL_FOLDERS = ('val', 'validation')
TEST_FOLDERS = ('test',)
RANGES = (1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500)  # metres
MM_LIMIT = 20000  # stored values that no depth camera in millimetres gives: more than 20 m
SAMPLES = 60  # pairs that are decoded
TEST_SHARE, VAL_SHARE = 0.2, 0.1
LEAST_PAIRS = 5
LEAST_PAIRS_FOR_VAL = 10  # with fewer the test images also choose the checkpoint


@dataclass
class FolderPlan:
    """What a training on a folder uses.

    Attributes:
        roots: Folder that holds the images and depth of each split (``train``, ``val``, ``test``);
            one folder for all if the split is made here.
        image_folder, depth_folder: Sub-folders of those.
        stems: Stems ``sub/name`` of each split; those of ``test`` equal those of ``val`` where
            there are too few pairs.
        depth_scale: Stored integers per metre.
        max_depth: Far end of the range, metres.
        image_size: Smallest height and width of the images.
        has_one_size: Whether all images that were read have this size.
        has_camera: Whether every split has an ``intrinsics.json``.
        notes: What was seen and assumed, one sentence each.
    """

    roots: dict[str, Path]
    image_folder: str
    depth_folder: str
    stems: dict[str, list[str]]
    depth_scale: float
    max_depth: float
    image_size: tuple[int, int]
    has_one_size: bool
    has_camera: bool
    notes: list[str] = field(default_factory=list)


def examine_folder(
    folder: str | Path, max_depth: float | None = None, depth_scale: float | None = None
) -> FolderPlan:
    """Look at a folder and decide how to train on it.

    Args:
        folder: It holds images and depth in two sub-folders, or ``train/`` and ``val/`` or
            ``test/`` that do.
        max_depth: Far end of the depth range in metres; by default from the depth maps.
        depth_scale: Stored integers per metre; by default from the kind of file and its values.

    Raises:
        FileNotFoundError: If the folder or one of its parts is missing.
        ValueError: If something could mean two things, or the data cannot be trained on.
    """
    root = Path(folder).absolute()
    if not root.is_dir():
        raise FileNotFoundError(f'--data {folder}: there is no such folder')
    notes: list[str] = []
    roots = find_roots(root)
    image_folder = find_subfolder(roots['train'], IMAGE_FOLDERS, 'images')
    depth_folder = find_subfolder(roots['train'], DEPTH_FOLDERS, 'depth maps')
    pairs = {}
    for split, split_root in roots.items():
        pairs[split] = find_pairs(split_root, image_folder, depth_folder, notes)
    stems = split_pairs({split: list(files) for split, files in pairs.items()}, notes)
    files = list(pairs['train'].values())
    chosen = np.linspace(0, len(files) - 1, min(len(files), SAMPLES)).round().astype(int)
    sampled = [files[index] for index in chosen]
    size, has_one_size = smallest_size(sampled, notes)
    scale = depth_scale or guess_scale(sampled, max_depth, notes)
    far = max_depth or guess_range(sampled, scale, notes)
    has_camera = all((path / 'intrinsics.json').is_file() for path in roots.values())
    for split in stems:
        roots.setdefault(split, roots['train'])
    # Without a test folder of its own, the test reads what the validation reads.
    if stems['test'] is stems['val']:
        roots['test'] = roots['val']
    return FolderPlan(
        roots, image_folder, depth_folder, stems, scale, far, size, has_one_size, has_camera, notes
    )


def find_roots(root: Path) -> dict[str, Path]:
    """Return the folder of each split that has one; ``train`` alone if the folder is not split.

    Raises:
        FileNotFoundError: If there is ``train/`` and no other split.
    """
    if not (root / 'train').is_dir():
        return dict(train=root)
    roots = dict(train=root / 'train')
    for split, names in (('val', VAL_FOLDERS), ('test', TEST_FOLDERS)):
        present = [name for name in names if (root / name).is_dir()]
        if present:
            roots[split] = root / present[0]
    if len(roots) == 1:
        raise FileNotFoundError(
            f'{root} has train/ but neither '
            f'{", ".join(f"{name}/" for name in VAL_FOLDERS + TEST_FOLDERS)}; add one, or give the '
            'folder that holds images/ and depth/'
        )
    return roots


def find_subfolder(root: Path, names: tuple[str, ...], content: str) -> str:
    """Return the one sub-folder of ``root`` with a usual name for this content.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If there are several.
    """
    present = [name for name in names if (root / name).is_dir()]
    if len(present) == 1:
        return present[0]
    if present:
        raise ValueError(
            f'{root} has {" and ".join(f"{name}/" for name in present)}, so it is not clear which '
            f'holds the {content}; move or rename all but one'
        )
    raise FileNotFoundError(
        f'{root} has no folder of {content}; it is called one of {", ".join(names)}'
    )


def find_pairs(root: Path, image_folder: str, depth_folder: str, notes: list[str]) -> dict:
    """Return image and depth file by stem, sorted; the notes count images without depth.

    Raises:
        ValueError: If no image has a depth map.
    """
    images = files_by_stem(root / image_folder, IMAGE_SUFFIXES)
    depths = files_by_stem(root / depth_folder, DEPTH_SUFFIXES)
    pairs = {stem: (path, depths[stem]) for stem, path in images.items() if stem in depths}
    if not pairs:
        raise ValueError(
            f'no image in {root / image_folder} ({len(images)}) has a depth map of the same name '
            f'in {root / depth_folder} ({len(depths)}); depth is {", ".join(DEPTH_SUFFIXES)}'
        )
    if len(pairs) < len(images):
        notes.append(
            f'{len(images) - len(pairs)} images of {root} have no depth map and are left out'
        )
    return pairs


def files_by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the files below a folder by stem ``sub/name``, sorted.

    Raises:
        ValueError: If two files have one stem.
    """
    stems: dict[str, Path] = {}
    for path in sorted(folder.rglob('*')):
        if path.suffix.lower() not in suffixes:
            continue
        stem = path.relative_to(folder).with_suffix('').as_posix()
        if stem in stems:
            raise ValueError(f'{stems[stem]} and {path} have one stem; remove one of them')
        stems[stem] = path
    return stems


def split_pairs(stems: dict[str, list[str]], notes: list[str]) -> dict[str, list[str]]:
    """Return the stems for training, validation and test.

    Splits that have folders of their own stay as they are. A missing validation set comes from the
    training images; a missing test set does so too if the folder is not split at all.

    Args:
        stems: Of each split that has a folder.
        notes: Receives what was done.

    Raises:
        ValueError: If there are too few pairs.
    """
    training = stems['train']
    if len(stems) == 1:
        return split_by_scene(training, notes)
    counts = ', '.join(f'{len(names)} in {split}/' for split, names in stems.items())
    if 'test' not in stems:
        notes.append(
            f'pairs as they are split: {counts}; there is no test/, so the test is on the images '
            'of val/, which also choose the checkpoint: its numbers are a little optimistic'
        )
        return dict(stems, test=stems['val'])
    if 'val' in stems:
        notes.append(f'pairs as they are split: {counts}')
        return stems
    scenes = group_by_scene(training)
    val_stems, kind = hold_out(scenes, VAL_SHARE, len(training))
    notes.append(
        f'pairs as they are split: {counts}; {len(val_stems)} of train/ choose the checkpoint '
        f'({kind})'
    )
    left = [stem for names in scenes.values() for stem in names]
    return dict(train=left, val=val_stems, test=stems['test'])


def split_by_scene(stems: list[str], notes: list[str]) -> dict[str, list[str]]:
    """Return the stems for training, validation and test of a folder that is not split.

    A fifth is for the test and a tenth for the choice of the checkpoint: whole sub-folders where
    there are enough, as frames of a scene resemble each other, or else stretches in the order of
    the names.

    Raises:
        ValueError: If there are fewer than 5.
    """
    if len(stems) < LEAST_PAIRS:
        raise ValueError(
            f'{len(stems)} pairs are too few to train and to validate; at least {LEAST_PAIRS} are '
            'needed'
        )
    scenes = group_by_scene(stems)
    count = f'{len(stems)} pairs in {len(scenes)} scenes (sub-folders)'
    if len(scenes) == 1:
        count = f'{len(stems)} pairs, no sub-folders'
    test_stems, kind = hold_out(scenes, TEST_SHARE, len(stems))
    if len(stems) < LEAST_PAIRS_FOR_VAL:
        val_stems = test_stems
        notes.append(
            f'{count}: too few for a validation set of their own, so the {len(test_stems)} test '
            f'images ({kind}) also choose the checkpoint: the numbers are optimistic'
        )
    else:
        val_stems, val_kind = hold_out(scenes, VAL_SHARE, len(stems))
        notes.append(
            f'{count}: {sum(map(len, scenes.values()))} for training, {len(val_stems)} to choose '
            f'the checkpoint ({val_kind}), {len(test_stems)} for the test ({kind})'
        )
    training = [stem for names in scenes.values() for stem in names]
    return dict(train=training, val=val_stems, test=test_stems)


def group_by_scene(stems: list[str]) -> dict[str, list[str]]:
    """Return the stems of each sub-folder, in the order of the names."""
    scenes: dict[str, list[str]] = {}
    for stem in sorted(stems):
        scenes.setdefault(stem.rpartition('/')[0], []).append(stem)
    return scenes


def hold_out(scenes: dict[str, list[str]], share: float, total: int) -> tuple[list[str], str]:
    """Take about a share of all stems out of ``scenes``, whole scenes if at least half of all stay.

    Args:
        scenes: Stems by scene; changed in place.
        share: Of ``total``.
        total: Number of all stems.

    Returns:
        The stems, and what they are in words.
    """
    count = max(1, round(share * total))
    stems: list[str] = []
    names = []
    for name in sorted(scenes, reverse=True):
        left = sum(map(len, scenes.values()))
        if len(stems) < count and len(scenes) > 1 and left - len(scenes[name]) >= total / 2:
            stems = scenes.pop(name) + stems
            names.append(name)
    if names:
        dots = ', ...' if len(names) > 3 else ''
        return stems, f'scenes {", ".join(sorted(names)[:3])}{dots}'
    # The largest scene loses its last frames, one stretch of a sequence.
    largest = max(scenes, key=lambda name: len(scenes[name]))
    frames = scenes[largest]
    count = min(count, len(frames) - 1)
    scenes[largest] = frames[:-count]
    return frames[-count:], 'the last by name, so that neighbouring frames are not in both'


def smallest_size(pairs: list, notes: list[str]) -> tuple[tuple[int, int], bool]:
    """Return the smallest height and width, and whether all images have them.

    Raises:
        ValueError: If an image and its depth map differ in size.
    """
    sizes = []
    for image, depth in pairs:
        size, depth_size = read_image(image).shape[:2], read_stored(depth).shape[:2]
        if size != depth_size:
            raise ValueError(
                f'{image} has {size[0]}x{size[1]} pixels, {depth} {depth_size[0]}x{depth_size[1]}; '
                'resize one of them (depth by nearest neighbours)'
            )
        sizes.append(size)
    height, width = min(size[0] for size in sizes), min(size[1] for size in sizes)
    kinds = len(set(sizes))
    notes.append(
        f'images of {height}x{width} pixels'
        + (f' and {kinds - 1} other sizes' if kinds > 1 else '')
    )
    return (height, width), kinds == 1


def guess_scale(pairs: list, max_depth: float | None, notes: list[str]) -> float:
    """Return the stored integers per metre from the kind of file and its values.

    Raises:
        ValueError: If integers could be millimetres as well as 1/256 m.
    """
    depths = [depth for _, depth in pairs]
    if all(read_stored(path).dtype.kind == 'f' for path in depths):
        notes.append('depth in files of floating point numbers, taken as metres')
        return 1.0
    tops = far_values(depths, 1.0)
    far, farthest = max(tops.values()), max(tops, key=tops.get)
    if max_depth is not None:
        fitting = [
            scale for scale in (1000.0, 256.0) if 0.4 * max_depth <= far / scale <= 1.1 * max_depth
        ]
        if len(fitting) == 1:
            notes.append(
                f'integers of up to {far:.0f}, taken as {fitting[0]:g} a metre, which fits '
                f'--max-depth {max_depth:g}'
            )
            return fitting[0]
    if far <= 300 or far > MM_LIMIT:
        raise ValueError(
            f'the depth maps hold integers of up to {far:.0f} ({farthest}; the median of all files '
            f'is {np.median(list(tops.values())):.0f}); as millimetres that is {far / 1000:.3g} m, '
            f'as KITTI stores them {far / 256:.3g} m. Say which with --depth-scale (1000 or 256 '
            'stored integers a metre)'
        )
    notes.append(
        f'integers of up to {far:.0f}, taken as millimetres: {far / 1000:.3g} m (--depth-scale 256 '
        f'for files as KITTI stores them, {far / 256:.3g} m)'
    )
    return 1000.0


def guess_range(pairs: list, scale: float, notes: list[str]) -> float:
    """Return the far end of the depth range: the next round number above nearly all values.

    Raises:
        ValueError: If depth is farther than any range, which a wrong scale explains.
    """
    far = max(far_values([depth for _, depth in pairs], scale).values())
    for limit in RANGES:
        if far <= limit:
            notes.append(f'the farthest ground truth is {far:.3g} m, so depth ranges to {limit} m')
            return float(limit)
    raise ValueError(
        f'the farthest ground truth would be {far:.4g} m; give --depth-scale or --max-depth'
    )


def far_values(depths: list[Path], scale: float) -> dict[Path, float]:
    """Return the 99.9th percentile of each map that has values, in metres with this scale.

    Raises:
        ValueError: If no map holds a value.
    """
    tops = {}
    for path in depths:
        depth = stored_to_metres(read_stored(path), scale, path)
        if (depth > 0).any():
            tops[path] = float(np.percentile(depth[depth > 0], 99.9))
    if not tops:
        raise ValueError(f'none of the {len(depths)} depth maps that were read has a value above 0')
    return tops
