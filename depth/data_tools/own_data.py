"""A look at a folder of images and depth maps, and a short config that trains on it.

What can be seen (folders, pairs, sizes, kinds of files, values) is not asked for; what is assumed is
noted, and what could mean two things is refused with the option that decides it.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from depth.atomic_write import write_atomically
from depth.datasets.folder import DEPTH_SUFFIXES, IMAGE_SUFFIXES
from depth.datasets.transforms.loading import read_image, read_stored, stored_to_metres
from depth.shipped_configs import config_paths

IMAGE_FOLDERS = ('images', 'image', 'rgb', 'color', 'img')
DEPTH_FOLDERS = ('depth', 'depths', 'depth_maps', 'gt', 'groundtruth')
VAL_FOLDERS = ('val', 'validation', 'test')
DEFAULT_MODEL = 'densedepth_r18_folder'
# Shipped configs for folders, with the step of the sides of their crops: stride or patch.
FOLDER_MODELS = {'densedepth_r18_folder': 32, 'depth_anything_v2_vits_folder': 14}
RANGES = (1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500)  # metres
MM_LIMIT = 20000  # stored values that no depth camera in millimetres gives: more than 20 m
SAMPLES = 60  # pairs that are decoded
VAL_SHARE = 0.2
LARGEST_CROP = (416, 544)  # height, width, of the shipped folder configs
PASSES, LEAST_ITERS, MOST_ITERS = 60, 600, 10000


@dataclass
class FolderPlan:
    """What a training on a folder uses.

    Attributes:
        train_root, val_root: Folders that hold the images and depth of each split; equal if the split
            is made here.
        image_folder, depth_folder: Sub-folders of those.
        train_stems, val_stems: Stems ``sub/name`` of each split.
        depth_scale: Stored integers per metre.
        max_depth: Far end of the range, metres.
        image_size: Smallest height and width of the images.
        notes: What was seen and assumed, one sentence each.
    """

    train_root: Path
    val_root: Path
    image_folder: str
    depth_folder: str
    train_stems: list[str]
    val_stems: list[str]
    depth_scale: float
    max_depth: float
    image_size: tuple[int, int]
    notes: list[str] = field(default_factory=list)


def examine_folder(
    folder: str | Path, max_depth: float | None = None, depth_scale: float | None = None
) -> FolderPlan:
    """Look at a folder and decide how to train on it.

    Args:
        folder: It holds images and depth in two sub-folders, or ``train/`` and ``val/`` that do.
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
    train_root = root / 'train' if (root / 'train').is_dir() else root
    val_root = root
    if train_root != root:
        names = [name for name in VAL_FOLDERS if (root / name).is_dir()]
        if not names:
            raise FileNotFoundError(
                f'{root} has train/ but neither {", ".join(f"{name}/" for name in VAL_FOLDERS)}; '
                'add one, or give the folder that holds images/ and depth/'
            )
        val_root = root / names[0]
    image_folder = find_subfolder(train_root, IMAGE_FOLDERS, 'images')
    depth_folder = find_subfolder(train_root, DEPTH_FOLDERS, 'depth maps')
    pairs = find_pairs(train_root, image_folder, depth_folder, notes)
    if val_root == root:
        train_stems, val_stems = split_by_scene(list(pairs), notes)
    else:
        val_pairs = find_pairs(val_root, image_folder, depth_folder, notes)
        train_stems, val_stems = list(pairs), list(val_pairs)
        notes.append(f'{len(train_stems)} pairs in train/, {len(val_stems)} in {val_root.name}/')
    chosen = np.linspace(0, len(pairs) - 1, min(len(pairs), SAMPLES)).round().astype(int)
    files = list(pairs.values())
    sampled = [files[index] for index in chosen]
    size = smallest_size(sampled, notes)
    scale = depth_scale or guess_scale(sampled, max_depth, notes)
    far = max_depth or guess_range(sampled, scale, notes)
    return FolderPlan(
        train_root, val_root, image_folder, depth_folder, train_stems, val_stems,
        scale, far, size, notes,
    )  # fmt: skip


def find_subfolder(root: Path, names: tuple[str, ...], content: str) -> str:
    """Return the one sub-folder of ``root`` with a usual name for this content."""
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
    """Return image and depth file by stem, sorted; images without depth are counted in the notes."""
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


def split_by_scene(stems: list[str], notes: list[str]) -> tuple[list[str], list[str]]:
    """Return the stems for training and validation.

    Whole sub-folders are held out where there are at least two, as frames of a scene resemble each
    other; else the last fifth in the order of names, which is one stretch of a sequence.
    """
    if len(stems) < 5:
        raise ValueError(
            f'{len(stems)} pairs are too few to train and to validate; at least 5 are needed'
        )
    num_val = max(1, round(VAL_SHARE * len(stems)))
    scenes: dict[str, list[str]] = {}
    for stem in stems:
        scenes.setdefault(stem.rpartition('/')[0], []).append(stem)
    if len(scenes) < 2:
        notes.append(
            f'{len(stems)} pairs, no sub-folders: the last {num_val} by name are for validation, '
            'so that neighbouring frames are not in both'
        )
        return stems[:-num_val], stems[-num_val:]
    names = sorted(scenes)
    held_out: list[str] = []
    val_stems: list[str] = []
    # From the end, at least one scene and never all of them.
    for name in reversed(names[1:]):
        held_out.append(name)
        val_stems = scenes[name] + val_stems
        if len(val_stems) >= num_val:
            break
    train_stems = [stem for stem in stems if stem.rpartition('/')[0] not in held_out]
    notes.append(
        f'{len(stems)} pairs in {len(scenes)} scenes (sub-folders): {len(train_stems)} for '
        f'training, {len(val_stems)} for validation ({", ".join(sorted(held_out)[:5])})'
    )
    return train_stems, val_stems


def smallest_size(pairs: list, notes: list[str]) -> tuple[int, int]:
    """Return the smallest height and width; an image and its depth map must be of one size."""
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
    return height, width


def guess_scale(pairs: list, max_depth: float | None, notes: list[str]) -> float:
    """Return the stored integers per metre from the kind of file and its values.

    Raises:
        ValueError: If integers could be millimetres as well as 1/256 m.
    """
    depths = [depth for _, depth in pairs]
    if all(read_stored(path).dtype.kind == 'f' for path in depths):
        notes.append('depth in files of floating point numbers, taken as metres')
        return 1.0
    far = far_value(depths, 1.0)
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
            f'the depth maps hold integers of up to {far:.0f}; as millimetres that is '
            f'{far / 1000:.3g} m, as KITTI stores them {far / 256:.3g} m. Say which with '
            '--depth-scale (1000 or 256 stored integers a metre)'
        )
    notes.append(
        f'integers of up to {far:.0f}, taken as millimetres: {far / 1000:.3g} m (--depth-scale 256 '
        f'for files as KITTI stores them, {far / 256:.3g} m)'
    )
    return 1000.0


def guess_range(pairs: list, scale: float, notes: list[str]) -> float:
    """Return the far end of the depth range: the next round number above nearly all values."""
    far = far_value([depth for _, depth in pairs], scale)
    for limit in RANGES:
        if far <= limit:
            notes.append(f'the farthest ground truth is {far:.3g} m, so depth ranges to {limit} m')
            return float(limit)
    raise ValueError(
        f'the farthest ground truth would be {far:.4g} m; give --depth-scale or --max-depth'
    )


def far_value(depths: list[Path], scale: float) -> float:
    """Return the 99.9th percentile of the measured values over the maps, in metres with this scale."""
    tops = []
    for path in depths:
        depth = stored_to_metres(read_stored(path), scale, path)
        if (depth > 0).any():
            tops.append(np.percentile(depth[depth > 0], 99.9))
    if not tops:
        raise ValueError(f'none of the {len(depths)} depth maps that were read has a value above 0')
    return float(max(tops))


def write_config(
    plan: FolderPlan, path: Path, model: str = DEFAULT_MODEL, start: str | Path | None = None
) -> None:
    """Write the config of a plan and its two split files beside it.

    Args:
        plan: From :func:`examine_folder`.
        path: File of the config.
        model: Shipped config of a folder data set that it inherits from.
        start: Checkpoint that the training starts from.

    Raises:
        ValueError: If the model's config is not made for folders, or the images are too small for it.
    """
    step = FOLDER_MODELS.get(model)
    if step is None:
        raise ValueError(
            f'--model {model} is not made for folders, those are: {", ".join(FOLDER_MODELS)}; '
            'write a config of your own for another one (docs/customize.md)'
        )
    crop = []
    for side, limit in zip(plan.image_size, LARGEST_CROP, strict=True):
        crop.append(min(side, limit) // step * step)
    if not min(crop):
        raise ValueError(
            f'images of {plan.image_size[0]}x{plan.image_size[1]} pixels are too small: {step} a '
            'side is the least'
        )
    path = path.absolute()
    lists = {}
    for name, stems in (('train', plan.train_stems), ('val', plan.val_stems)):
        lists[name] = str(path.with_name(f'{name}.txt'))
        write_atomically(lists[name], '\n'.join(stems) + '\n')
    batch = min(8, len(plan.train_stems))
    iters = min(max(PASSES * len(plan.train_stems) // batch, LEAST_ITERS), MOST_ITERS)
    common = f'data_prefix=folders, depth_scale={plan.depth_scale!r}'
    notes = '\n'.join(f'- {note}' for note in plan.notes)
    lines = [
        f'"""Training on {plan.train_root}, written by depth train --data; change what you '
        f'like.\n\n{notes}\n"""',
        '',
        f'_base_ = {json.dumps(str(config_paths()[model][0]))}',
        f'train_root, val_root = {str(plan.train_root)!r}, {str(plan.val_root)!r}',
        f'max_depth = {plan.max_depth!r}  # metres',
        f'crop_size = {tuple(crop)!r}  # height, width',
        f'max_iters = {iters}',
        f'train_cfg = dict(val_interval={max(iters // 10, 1)})',
        f'default_hooks = dict(checkpoint=dict(interval={max(iters // 10, 1)}))',
        f'folders = dict(img_path={plan.image_folder!r}, depth_path={plan.depth_folder!r})',
        'train_dataloader = dict(',
        f'    batch_size={batch},',
        f'    dataset=dict(ann_file={lists["train"]!r}, {common}),',
        ')',
        f'val_dataloader = dict(dataset=dict(ann_file={lists["val"]!r}, {common}))',
        'test_dataloader = val_dataloader',
    ]
    if start is not None:
        lines.append(f'load_from = {str(Path(start).absolute())!r}')
    write_atomically(path, '\n'.join(lines) + '\n')
