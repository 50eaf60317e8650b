"""Unpacking of archives, each member straight to the path that the data set class reads."""

import gzip
import json
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from depth.atomic_write import atomic_open, write_atomically

# A member's name -> its path below the root, None to leave it out.
TargetPath = Callable[[str], str | None]
Write = Callable[[BinaryIO, Path], Path]
MARKERS = '.prepared'  # folder below the root with one file for each archive that was unpacked


def copy_member(source: BinaryIO, target: Path) -> Path:
    """Write a member as it is; it gets its name when it is complete."""
    with atomic_open(target) as file:
        shutil.copyfileobj(source, file, 1 << 20)
    return target


def unpack(
    archive: str | Path,
    root: str | Path,
    target_path: TargetPath,
    write: Write = copy_member,
    mark_as: str | None = None,
) -> int:
    """Unpack a zip or tar and check its integrity on the way.

    Args:
        archive: ``.zip``, ``.tar``, ``.tar.gz`` or ``.tgz``.
        root: Folder of the data set.
        target_path: Path of each member below the root, None to leave it out.
        write: How a member is written; returns the file it made.
        mark_as: What the unpacked archive is remembered as, its name by default.

    Returns:
        How many members were written.

    Raises:
        ValueError: If the archive is damaged, of another type, has nothing of what is looked for,
            or leads out of the root.
    """
    archive, root, count = Path(archive), Path(root), 0
    try:
        for name, stream in _members(archive, target_path):
            target = _safe(root, target_path(name), archive)
            target.parent.mkdir(parents=True, exist_ok=True)
            write(stream, target)
            count += 1
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f'{archive} is damaged ({error}); delete it and fetch it again, what was unpacked is '
            'replaced then'
        ) from error
    if not count:
        raise ValueError(
            f'{archive} holds nothing of what belongs to this data set; is it the right archive?'
        )
    mark(root, mark_as or archive.name, count)
    return count


def member_names(archive: str | Path) -> list[str]:
    """Return the names of a zip's files."""
    with zipfile.ZipFile(archive) as opened:
        return [info.filename for info in opened.infolist() if not info.is_dir()]


def mark(root: str | Path, name: str, count: int) -> None:
    """Note that an archive was unpacked completely."""
    path = Path(root, MARKERS, f'{name}.json')
    write_atomically(path, json.dumps(dict(archive=name, members=count)) + '\n')


def is_unpacked(root: str | Path, name: str) -> bool:
    """Return whether an archive was unpacked completely before."""
    return Path(root, MARKERS, f'{name}.json').is_file()


def _members(archive: Path, target_path: TargetPath) -> Iterator[tuple[str, BinaryIO]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir() and target_path(info.filename):
                    with opened.open(info) as stream:
                        yield info.filename, stream
    elif archive.suffix in ('.tar', '.gz', '.tgz'):
        yield from _tar_members(archive, target_path)
    else:
        raise ValueError(
            f'{archive} is no readable zip or tar archive; it may be cut off: delete it and fetch '
            'it again'
        )


def _tar_members(archive: Path, target_path: TargetPath) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the files of a tar in the order of the archive, as a stream cannot go back."""
    opener = open if archive.suffix == '.tar' else gzip.open
    with opener(archive, 'rb') as stream:
        with tarfile.open(fileobj=stream, mode='r|') as opened:
            for info in opened:
                name = info.name.removeprefix('./')
                # Not for links and devices, through which an archive could write anywhere.
                if info.isfile() and target_path(name):
                    yield name, opened.extractfile(info)
        # gzip's sum stands behind the end of the tar and is checked when it is read.
        while stream.read(1 << 20):
            pass


def _safe(root: Path, name: str, archive: Path) -> Path:
    """Return the path of a member; names come from the archive and may lead out of the root."""
    parts = PurePosixPath(name.replace('\\', '/'))
    if parts.is_absolute() or '..' in parts.parts:
        raise ValueError(f'{archive} wants to write to {name}, outside of {root}; do not use it')
    return root / parts
