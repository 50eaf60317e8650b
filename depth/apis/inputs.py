"""Input images of inference, and the unique names under which their results are written."""

import glob
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from depth.datasets.folder import IMAGE_SUFFIXES

from .image_types import ImageInput

REPORT = 'report.json'
REPORT_FORMAT = 'depth inference 1'
RESULT_FOLDERS = ('depth', 'npy', 'color', 'panel', 'ply', 'glb')


@dataclass
class InputImage:
    """One input image of inference.

    Args:
        source: Path as text, or an image in memory, see
            :func:`~depth.apis.image_types.to_bgr_array`; None for a camera.
        label: Name in messages and reports: the absolute path of a file, ``inputs[2]`` for an
            array.
        name: Path of its results below each result folder, without suffix, separated by ``/``.
    """

    source: ImageInput | None
    label: str
    name: str

    @property
    def path(self) -> str | None:
        """The file, None for an image in memory."""
        return self.source if isinstance(self.source, str) else None


def list_inputs(
    inputs: ImageInput | Sequence, out_dir: str | Path | None = None
) -> tuple[list[InputImage], list[str]]:
    """List the images that ``inputs`` name, without results of inference.

    The name of a file in a folder is its path below that folder, that of any other file its stem,
    and that of an array its index among the inputs: ``000002``, or ``array_000002`` where there are
    files as well. :func:`assign_names` makes the names unique.

    Args:
        inputs: Image file, folder, glob, array, tensor or PIL image, one or a list.
        out_dir: Folder of the results. Files in its result folders are no inputs, and neither are
            results of another inference that a folder or glob contains.

    Returns:
        The images in the order given, and one line per output folder whose images were left out.

    Raises:
        ValueError: If there is no image.
    """
    items = list(_flatten(inputs))
    if not items:
        raise ValueError('inputs is an empty list, it names no image')
    has_files = any(isinstance(item, str) for item in items)
    search = _Search(out_dir)
    images: list[InputImage] = []
    for index, item in enumerate(items):
        if not isinstance(item, str):
            name = f'array_{index:06d}' if has_files else f'{index:06d}'
            images.append(InputImage(item, f'inputs[{index}]', name))
        else:
            images.extend(search.find_images(item))
    if not images:
        folders = ' and '.join(map(str, search.num_skipped))
        raise ValueError(
            f'the inputs are results of inference in {folders}, which are never inputs; name the '
            'images'
        )
    notes = []
    for folder, count in search.num_skipped.items():
        notes.append(
            f'{count} images below {folder} were left out: results of inference are never inputs'
        )
    return images, notes


def assign_names(images: Sequence[InputImage], earlier: dict[str, str] | None = None) -> None:
    """Make the names unique, independently of the order of the images.

    Files of equal names get as many of their parent folders in front as tell them apart
    (``left/0001``); files that differ only in their suffix get it behind (``0001_png``); names that
    are still equal, such as those of one file given twice, get a number. Names that differ only in
    case or in the encoding of accents count as equal, because on some file systems they are.

    Args:
        images: Images with the name that they should have if it is unique; it is replaced.
        earlier: Label of the image by name, for results that earlier calls wrote into the same
            folder: a file keeps its name, and a name of another file is not taken.
    """
    owner_of: dict[str, str] = {}
    earlier_names: dict[str, list[str]] = defaultdict(list)
    for name, label in (earlier or {}).items():
        owner_of[folded(name)] = label
        earlier_names[label].append(name)
    tails = _distinguishing_tails([image for image in images if image.path is not None])
    # Each image has a list of candidate names, from short to long, and moves on to the next one as
    # long as its present candidate is disputed.
    candidates = []
    for image in images:
        tail = tails.get(id(image), '')
        names = _names_with_parents(image, tail)
        if image.path is not None and not tail and len(earlier_names[image.label]) == 1:
            names = earlier_names[image.label] + names
        candidates.append(names)
    level = [0] * len(images)
    while True:
        groups: dict[str, list[int]] = defaultdict(list)
        for index, names in enumerate(candidates):
            groups[folded(names[level[index]])].append(index)
        disputed = []
        for key, members in groups.items():
            for index in members:
                label = images[index].label
                if len(members) > 1 or owner_of.get(key, label) != label:
                    disputed.append(index)
        movable = [index for index in disputed if level[index] + 1 < len(candidates[index])]
        if not movable:
            break
        for index in movable:
            level[index] += 1
    for image, names, chosen in zip(images, candidates, level, strict=True):
        image.name = names[chosen]
    used_names = set(owner_of)
    for key, members in groups.items():
        if not set(members) & set(disputed):
            used_names.add(key)
    # By label, so that the numbers do not depend on the order of the images either.
    for index in sorted(disputed, key=lambda index: images[index].label):
        images[index].name = _append_number(images[index].name, used_names)


def folded(name: str) -> str:
    """Return a name without differences of case and of the encoding of accents."""
    # Composed twice, because folding the case of a composed name can decompose it.
    return unicodedata.normalize('NFC', unicodedata.normalize('NFC', name).casefold())


def _append_number(name: str, used_names: set[str]) -> str:
    """Return the name with the first number that makes it unique, and add it to ``taken``."""
    number = 0
    unique = name
    while folded(unique) in used_names:
        number += 1
        unique = f'{name}_{number}'
    used_names.add(folded(unique))
    return unique


def _names_with_parents(image: InputImage, tail: str) -> list[str]:
    """Return the name of an image with none, one, two ... of its parent folders in front."""
    if image.path is None:
        return [image.name]
    # Without the root, "/" or a drive.
    folders_and_name = Path(os.path.splitext(image.label)[0]).parts[1:]
    shortest = image.name.count('/') + 1
    longest = max(shortest, len(folders_and_name))
    return ['/'.join(folders_and_name[-length:]) + tail for length in range(shortest, longest + 1)]


def _distinguishing_tails(files: Sequence[InputImage]) -> dict[int, str]:
    """Return endings for files of one folder and stem, by ``id`` of the image.

    The ending is the suffix (``_png``) where it tells them apart, a number (``_1``) otherwise.
    """
    groups: dict[str, list[InputImage]] = defaultdict(list)
    for image in files:
        groups[folded(os.path.splitext(image.label)[0])].append(image)
    tails = {}
    for members in groups.values():
        if len(members) == 1:
            continue
        members = sorted(members, key=lambda image: image.label)
        suffixes = [Path(image.label).suffix.lower().lstrip('.') for image in members]
        if len(set(suffixes)) == len(members):
            for image, suffix in zip(members, suffixes, strict=True):
                tails[id(image)] = f'_{suffix}'
        else:
            # The first one keeps its plain name.
            for number, image in enumerate(members[1:], start=1):
                tails[id(image)] = f'_{number}'
    return tails


def _flatten(inputs: object) -> Iterator[ImageInput]:
    """Yield the items of nested lists: paths as text, and images in memory."""
    if isinstance(inputs, str | Path):
        yield str(inputs)
    elif isinstance(inputs, ImageInput):
        yield inputs
    elif isinstance(inputs, Sequence | Set | Iterator) and not isinstance(inputs, bytes):
        for item in inputs:
            yield from _flatten(item)
    else:
        raise ValueError(
            'inputs are paths, folders, globs, BGR uint8 arrays of shape (H, W, 3), tensors or PIL '
            f'images, or lists of them; got a {type(inputs).__name__}'
        )


class _Search:
    """Search for images that skips the results of inference.

    Args:
        out_dir: Folder of the results of this inference.

    Attributes:
        num_skipped: Number of skipped images by their output folder.
    """

    def __init__(self, out_dir: str | Path | None) -> None:
        self.out_dir = None if out_dir is None else Path(out_dir).resolve()
        self.num_skipped: dict[Path, int] = defaultdict(int)
        self._is_output = cache(lambda folder: bool(read_report(folder / REPORT)))

    def find_images(self, item: str) -> Iterator[InputImage]:
        """Yield the images of a file, folder or glob, in sorted order.

        Raises:
            ValueError: If there is none.
        """
        path = Path(item)
        if path.is_dir():
            base = path
            files = _sorted_images(map(str, path.rglob('*')))
        elif glob.has_magic(item) and not path.exists():
            base = _fixed_part(path)
            files = _sorted_images(glob.glob(item, recursive=True))
        else:
            base = None
            files = [item]
        if not files:
            raise ValueError(f'{item} names no image ({", ".join(IMAGE_SUFFIXES)})')
        searched = None if base is None else base.resolve()
        for file in files:
            # Unlike Path.resolve(), this accepts a link that leads to itself; reading it fails later.
            output_folder = self._output_folder_of(Path(os.path.realpath(file)), searched)
            if output_folder is not None:
                self.num_skipped[output_folder] += 1
                continue
            name = Path(file).stem
            # Of a folder the sub-folders are part of the name.
            if base is path:
                name = Path(file).relative_to(path).with_suffix('').as_posix()
            yield InputImage(file, os.path.abspath(file), name)

    def _output_folder_of(self, file: Path, base: Path | None) -> Path | None:
        """Return the output folder that a file belongs to, None if it is no result of inference.

        Args:
            file: Without symbolic links.
            base: Folder that was searched; None for a file that the caller named.
        """
        out_dir = self.out_dir
        if out_dir is not None:
            # An --out-dir inside the searched folder is skipped as a whole. If it is the searched
            # folder or contains it, only its result folders are.
            if base is not None and base in out_dir.parents and out_dir in file.parents:
                return out_dir
            if _in_result_folder(file, out_dir):
                return out_dir
        # A result of another inference is an input if the caller names the file itself.
        if base is None:
            return None
        for folder in file.parents:
            is_searched = folder == base or base in folder.parents
            if is_searched and _in_result_folder(file, folder) and self._is_output(folder):
                return folder
        return None


def _sorted_images(names: Iterable[str]) -> list[str]:
    """Return the names of image files, sorted."""
    return sorted(name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES)


def _fixed_part(pattern: Path) -> Path:
    """Return the folder in which a glob searches."""
    folder = pattern
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return folder


def _in_result_folder(file: Path, root: Path) -> bool:
    """Return whether a file is in one of the result folders of the output folder ``root``."""
    return root in file.parents and file.relative_to(root).parts[0] in RESULT_FOLDERS


def read_report(path: Path) -> dict:
    """Return the content of an inference's ``report.json``; empty if the file is no such report."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    # Other programs write files of this name too.
    if not isinstance(content, dict) or content.get('format') != REPORT_FORMAT:
        return {}
    return content
