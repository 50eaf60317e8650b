"""What inference is given: which images, and the names under which their results are written."""

import glob
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from depth.datasets.folder import IMAGE_SUFFIXES

REPORT = 'report.json'
REPORT_FORMAT = 'depth inference 1'
RESULT_FOLDERS = ('depth', 'npy', 'color', 'panel', 'ply')


@dataclass
class InputImage:
    """One image that inference is given.

    Args:
        source: Path, or BGR uint8 array (H, W, 3).
        label: What messages and reports call it: the absolute path of a file, ``inputs[2]`` for an array.
        name: Of its results below each result folder, without suffix; parts are separated by ``/``.
    """

    source: str | np.ndarray
    label: str
    name: str

    @property
    def path(self) -> str | None:
        """The file, None for an array."""
        return None if isinstance(self.source, np.ndarray) else self.source


def list_inputs(
    inputs: str | Path | np.ndarray | Sequence, out_dir: str | Path | None = None
) -> tuple[list[InputImage], list[str]]:
    """List the images that ``inputs`` name, without the results of inference among them.

    A file of a folder is named by its path below that folder, any other file by its stem, an array by its place among
    the inputs: ``000002``, or ``array_000002`` where there are files as well. :func:`assign_names` looks after equal
    names.

    Args:
        inputs: Image file, folder, glob or BGR uint8 array, one or a list.
        out_dir: Where results go. Nothing that lies there is an input, and neither is the result of another inference
            that a folder or glob contains.

    Returns:
        The images in the order given, and what was left out, in words.

    Raises:
        ValueError: If there is no image.
    """
    items = list(_flatten(inputs))
    if not items:
        raise ValueError('inputs is an empty list, it names no image')
    has_files = any(isinstance(item, str) for item in items)
    search = _Search(out_dir)
    images: list[InputImage] = []
    for place, item in enumerate(items):
        if isinstance(item, np.ndarray):
            name = f'array_{place:06d}' if has_files else f'{place:06d}'
            images.append(InputImage(item, f'inputs[{place}]', name))
        else:
            images.extend(search.files(item))
    if not images:
        places = ' and '.join(map(str, search.left_out))
        raise ValueError(f'the inputs are results of inference in {places}, which are never inputs; name the images')
    notes = [
        f'{count} images below {place} were left out: results of inference are never inputs'
        for place, count in search.left_out.items()
    ]
    return images, notes


def assign_names(images: Sequence[InputImage], earlier: dict[str, str] | None = None) -> None:
    """Make the names unique, so that none depends on the order of the images.

    Files of equal names get as many of their folders in front as tell them apart (``left/0001``); files that differ
    in their suffix alone have it behind (``0001_png``); the rest, such as one file given twice, has a number. Names
    that differ only in case or in the encoding of accents count as equal, because on some disks they are.

    Args:
        images: Their ``name`` is what they would like to be called, and is replaced.
        earlier: Label of the image by name of what earlier calls wrote into the same folder: a file keeps its name,
            and takes none of another.
    """
    owner = {folded(name): label for name, label in (earlier or {}).items()}
    names_of: dict[str, list[str]] = defaultdict(list)
    for name, label in (earlier or {}).items():
        names_of[label].append(name)
    tails = _tails([image for image in images if image.path is not None])
    wishes = []
    for image in images:
        tail = tails.get(id(image), '')
        known = names_of[image.label] if image.path is not None and not tail else []
        wishes.append((known if len(known) == 1 else []) + _longer_and_longer(image, tail))
    level = [0] * len(images)
    while True:
        groups: dict[str, list[int]] = defaultdict(list)
        for index, names in enumerate(wishes):
            groups[folded(names[level[index]])].append(index)
        disputed = [
            index
            for key, members in groups.items()
            for index in members
            if len(members) > 1 or owner.get(key, images[index].label) != images[index].label
        ]
        movable = [index for index in disputed if level[index] + 1 < len(wishes[index])]
        if not movable:
            break
        for index in movable:
            level[index] += 1
    for image, names, chosen in zip(images, wishes, level, strict=True):
        image.name = names[chosen]
    taken = set(owner)
    taken.update(key for key, members in groups.items() if not set(members) & set(disputed))
    for index in sorted(disputed, key=lambda index: images[index].label):
        images[index].name = _numbered(images[index].name, taken)


def folded(name: str) -> str:
    """Return a name as a disk compares it that ignores case and the encoding of accents."""
    return unicodedata.normalize('NFC', unicodedata.normalize('NFC', name).casefold())


def _numbered(name: str, taken: set[str]) -> str:
    number, unique = 0, name
    while folded(unique) in taken:
        number += 1
        unique = f'{name}_{number}'
    taken.add(folded(unique))
    return unique


def _longer_and_longer(image: InputImage, tail: str) -> list[str]:
    """Return the name of an image with none, one, two ... of its folders in front."""
    if image.path is None:
        return [image.name]
    parts = [*Path(os.path.splitext(image.label)[0]).parts[1:]]  # without the root
    shortest = image.name.count('/') + 1
    return ['/'.join(parts[-length:]) + tail for length in range(shortest, max(shortest, len(parts)) + 1)]


def _tails(files: Sequence[InputImage]) -> dict[int, str]:
    """Return what tells files apart that have the folder and the stem in common, by ``id`` of the image."""
    groups: dict[str, list[InputImage]] = defaultdict(list)
    for image in files:
        groups[folded(os.path.splitext(image.label)[0])].append(image)
    tails = {}
    for members in groups.values():
        suffixes = [Path(image.label).suffix.lower().lstrip('.') for image in members]
        by_suffix = len(set(suffixes)) == len(members)
        order = sorted(range(len(members)), key=lambda index: members[index].label)
        for number, index in enumerate(order):
            if len(members) > 1 and (by_suffix or number):
                tails[id(members[index])] = f'_{suffixes[index] if by_suffix else number}'
    return tails


def _flatten(inputs: object) -> Iterator[str | np.ndarray]:
    """Yield paths as text, and arrays."""
    if isinstance(inputs, np.ndarray):
        yield inputs
    elif isinstance(inputs, str | Path):
        yield str(inputs)
    else:
        for part in inputs:
            yield from _flatten(part)


class _Search:
    """Looks for images and keeps results of inference apart.

    Args:
        out_dir: Where this inference writes.

    Attributes:
        left_out: Number of images that are results, by the output folder they belong to.
    """

    def __init__(self, out_dir: str | Path | None) -> None:
        self.out_dir = None if out_dir is None else Path(out_dir).resolve()
        self.left_out: dict[Path, int] = defaultdict(int)
        self._is_output = cache(lambda folder: bool(read_report(folder / REPORT)))

    def files(self, item: str) -> Iterator[InputImage]:
        """Yield the images of a file, folder or glob, in sorted order."""
        path = Path(item)
        if path.is_dir():
            base = path
            found = sorted(str(file) for file in path.rglob('*') if file.suffix.lower() in IMAGE_SUFFIXES)
        elif glob.has_magic(item) and not path.exists():
            base = _fixed_part(path)
            matches = glob.glob(item, recursive=True)
            found = sorted(name for name in matches if Path(name).suffix.lower() in IMAGE_SUFFIXES)
        else:
            base, found = None, [item]
        if not found:
            raise ValueError(f'{item} names no image ({", ".join(IMAGE_SUFFIXES)})')
        searched = None if base is None else base.resolve()
        for file in found:
            place = self._output_of(Path(file).resolve(), searched)
            if place is not None:
                self.left_out[place] += 1
                continue
            name = Path(file).relative_to(path).with_suffix('').as_posix() if base is path else Path(file).stem
            yield InputImage(file, os.path.abspath(file), name)

    def _output_of(self, file: Path, base: Path | None) -> Path | None:
        """Return the output folder that a file belongs to, None if it is no result of inference.

        Args:
            file: Without symbolic links.
            base: The folder that was searched, None for a file that was named itself.
        """
        out_dir = self.out_dir
        if out_dir is not None:
            # Where --out-dir is the searched folder or contains it, only its folders of results are no inputs.
            if base is not None and base in out_dir.parents and out_dir in file.parents:
                return out_dir
            if _in_result_folder(file, out_dir):
                return out_dir
        if base is None:  # whoever names a result of another inference means it
            return None
        inside = [folder for folder in file.parents if folder == base or base in folder.parents]
        return next((folder for folder in inside if _in_result_folder(file, folder) and self._is_output(folder)), None)


def _fixed_part(pattern: Path) -> Path:
    """Return the folder in which a glob searches."""
    parts = pattern.parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:fixed])


def _in_result_folder(file: Path, root: Path) -> bool:
    return root in file.parents and file.relative_to(root).parts[0] in RESULT_FOLDERS


def read_report(path: Path) -> dict:
    """Return the report of an inference, empty if there is none at this place."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and content.get('format') == REPORT_FORMAT else {}
