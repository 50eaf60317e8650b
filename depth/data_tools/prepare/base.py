"""Preparation of a data set: split files, archives, unpacking, a count of the result."""

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from depth.atomic_write import write_atomically
from depth.datasets.base import BaseDepthDataset
from depth.datasets.published import Archive
from depth.integrity import sha256_of

from .download import Progress, download, remote_size
from .unpack import Write, copy_member, is_unpacked, unpack

LARGE = 1 << 30  # bytes above which a download is asked about
MAX_SIZE_REQUESTS = 10  # archives whose sizes are asked from the server


@dataclass
class Options:
    """Choices of the command line.

    Attributes:
        root: Folder of the data set; the one that the configs read by default.
        parts: Names of parts; the data set's default ones if empty.
        archives: Folder of downloads; ``ROOT/archives`` by default.
        splits: Folder of published split files; None to fetch them.
        raw: Folder of KITTI raw that is there already.
        jpg: Convert KITTI raw to JPEG.
        delete_archives: Remove each archive once it is unpacked.
        yes: Do not ask.
    """

    root: Path | None = None
    parts: Sequence[str] = ()
    archives: Path | None = None
    splits: Path | None = None
    raw: Path | None = None
    jpg: bool = False
    delete_archives: bool = False
    yes: bool = False


class Preparer:
    """Preparation of one data set from the facts that its class states.

    Subclasses add what the facts cannot say, such as lists that are made from archives.

    Args:
        dataset: Class of the data set.
        options: See :class:`Options`.
        say: Receives what happens, line by line.
        ask: Receives a question, returns whether to go on.
        progress: Receives a file's name, returns the callback that receives its bytes.

    Raises:
        ValueError: If a part is unknown.
    """

    def __init__(
        self,
        dataset: type[BaseDepthDataset],
        options: Options,
        say: Callable[[str], None] = print,
        ask: Callable[[str], bool] = lambda question: False,
        progress: Callable[[str], Progress | None] = lambda name: None,
    ) -> None:
        self.dataset, self.options = dataset, options
        self.say, self.ask, self.progress = say, ask, progress
        self.root = Path(options.root or dataset.ROOT)
        archive_folder = options.archives or self.root / 'archives'
        self.archive_folder = Path(archive_folder)
        self.parts = tuple(options.parts or dataset.DEFAULT_PARTS)
        self.check_parts()
        self.members = re.compile(dataset.ARCHIVE_MEMBERS)
        self.split_targets = self.find_split_targets()

    def check_parts(self) -> None:
        """Refuse unknown parts."""
        parts = self.dataset.PARTS
        unknown = [name for name in self.parts if name not in parts]
        if unknown and not parts:
            raise ValueError('--parts: this data set is prepared as a whole, it has no parts')
        if unknown:
            names = ', '.join(f'{name} ({description})' for name, description in parts.items())
            raise ValueError(f'--parts: there is no {unknown[0]!r}; the parts are {names}')

    def find_split_targets(self) -> dict[str, str]:
        """Return the needed split files by published name, with their paths below the root."""
        targets = {}
        for name, split in self.dataset.SPLIT_FILES.items():
            if not split.part or split.part in self.parts:
                targets[name] = (PurePosixPath(split.folder) / name).as_posix()
        return targets

    def archives(self) -> list[Archive]:
        """Return the needed archives."""
        archives = []
        for archive in self.dataset.ARCHIVES:
            if not archive.part or archive.part in self.parts:
                archives.append(archive)
        return archives

    def target_path(self, archive: Archive, member: str) -> str | None:
        """Return the path of a member below the root, None if it is not needed."""
        if not self.dataset.ARCHIVE_MEMBERS:
            return member
        match = self.members.search(member)
        if match is None:
            return None
        return match.group(1)

    def writer(self, archive: Archive) -> Write:
        """Return the function that writes members."""
        return copy_member

    def mark_name(self, archive: Archive) -> str:
        """Return the name under which an unpacked archive is remembered."""
        return archive.name

    def is_prepared(self, archive: Archive) -> bool:
        """Return whether all that is needed of an archive was unpacked before."""
        return is_unpacked(self.root, self.mark_name(archive))

    def finish(self) -> None:
        """Write what no archive holds; nothing here."""

    def count_files(self) -> Iterator[str]:
        """Yield the counts of files in the prepared folder."""
        for target in self.split_targets.values():
            path = self.root / target
            if path.is_file():
                yield count_listed_pairs(path, self.root)
        for pattern, name in self.dataset.CONTENTS.items():
            count = sum(1 for _ in self.root.glob(pattern))
            yield f'{self.root}: {count} {name}'

    def plan(self) -> list[str]:
        """Return the steps of :meth:`run` in words, without a connection."""
        lines = [f'into {self.root}   ({self.dataset.LICENCE}; {self.dataset.PAGE})']
        for name, target in self.split_targets.items():
            lines.append(f'split    {target}: {self._split_source(name)}')
        for archive in self.archives():
            if self.is_prepared(archive):
                lines.append(f'done     {archive.name} was unpacked before')
            elif (self.archive_folder / archive.name).is_file():
                verb = 'unpack' if archive.unpacked else 'read  '
                lines.append(f'{verb}   {self.archive_folder / archive.name}')
            elif archive.url:
                check = 'SHA-256' if archive.sha256 else 'size and integrity'
                lines.append(f'download {archive.url}   {archive.about}; checked by {check}')
            else:
                line = f'by hand  {archive.name} ({archive.about}) into {self.archive_folder}'
                lines.append(f'{line}: {self.dataset.GET_BY_HAND}')
        return lines

    def run(self) -> None:
        """Prepare everything that an earlier run has not prepared.

        Raises:
            FileNotFoundError: If something has to be fetched by hand first.
            InterruptedError: If the question was answered with no.
            ValueError, ConnectionError: If a file is wrong or cannot be fetched.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        for name, target in self.split_targets.items():
            self.provide_split(name, self.root / target)
        # Ask and complain about everything first, so that a night of downloads is not in vain.
        archives = [archive for archive in self.archives() if not self.is_prepared(archive)]
        self._check_by_hand(archives)
        self._ask_about(archives)
        for archive in archives:
            path = self._fetch(archive)
            if archive.unpacked:
                self._unpack(archive, path)
        self.finish()
        for line in self.count_files():
            self.say(line)

    def provide_split(self, name: str, target: Path) -> None:
        """Copy or fetch a published split file and check it; one that is there and right is kept.

        Raises:
            FileNotFoundError: If it is neither given nor has an address.
            ValueError: If it is not the published file.
        """
        split = self.dataset.SPLIT_FILES[name]
        if target.is_file() and sha256_of(target) == split.sha256:
            return
        # A list that somebody changed is theirs; the data doctor points out that it is changed.
        if target.is_file():
            self.say(f'{target} is not the published list and is left as it is')
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self._given_split(name)
        if source is not None:
            digest = sha256_of(source)
            if digest != split.sha256:
                raise ValueError(
                    f'{source} has SHA-256 {digest}, the published {name} has {split.sha256}'
                )
            write_atomically(target, source.read_bytes())
        elif split.url:
            download(split.url, target, split.sha256)
        else:
            raise FileNotFoundError(
                f'{name} has no address that is certain; give its folder with --splits DIR'
            )
        self.say(f'{target}: {split.lines} lines, hash as published')

    def list_lines(self) -> list[str]:
        """Return the lines of all split files in the root or in the folder of ``--splits``."""
        lines: list[str] = []
        for name, target in self.split_targets.items():
            path = self.root / target
            if not path.is_file():
                path = self._given_split(name)
            if path is not None:
                lines += path.read_text(encoding='utf-8').splitlines()
        return [line for line in lines if line.strip()]

    def _given_split(self, name: str) -> Path | None:
        """Return the file in ``--splits`` that is the split, by its hash, whatever it is called."""
        if self.options.splits is None:
            return None
        folder = Path(self.options.splits)
        published = self.dataset.SPLIT_FILES[name].sha256
        # The repositories of the methods have one list under many names.
        for path in itertools.chain([folder / name], sorted(folder.rglob('*.txt'))):
            if path.is_file() and sha256_of(path) == published:
                return path
        # The right name with wrong content: the caller says which hash it has.
        if (folder / name).is_file():
            return folder / name
        raise FileNotFoundError(f'{folder} holds no file with the hash of the published {name}')

    def _split_source(self, name: str) -> str:
        if self.options.splits is not None:
            return f'from {self.options.splits}, checked by hash'
        return self.dataset.SPLIT_FILES[name].url or 'needs --splits DIR'

    def _check_by_hand(self, archives: Sequence[Archive]) -> None:
        missing = []
        for archive in archives:
            if not archive.url and not (self.archive_folder / archive.name).is_file():
                missing.append(archive.name)
        if missing:
            raise FileNotFoundError(
                f'{", ".join(missing)} must be fetched by hand and put into {self.archive_folder}: '
                f'{self.dataset.GET_BY_HAND}'
            )

    def _ask_about(self, archives: Sequence[Archive]) -> None:
        downloads = []
        for archive in archives:
            if not (self.archive_folder / archive.name).is_file():
                downloads.append(archive)
        if not downloads or self.options.yes:
            return
        # A size takes a request, and KITTI has 61 drives. None stands for a size that is not known.
        sizes = [None]
        if len(downloads) <= MAX_SIZE_REQUESTS:
            sizes = [remote_size(archive.url) for archive in downloads]
        if None in sizes:
            about = f'{len(downloads)} files, {downloads[0].about}'
        elif sum(sizes) < LARGE:
            return
        else:
            about = f'{sum(sizes) / 1e9:.1f} GB'
        question = f'{about} will be downloaded into {self.archive_folder}'
        if not self.ask(f'{question} ({self.dataset.LICENCE}). Go on?'):
            raise InterruptedError(
                'nothing was downloaded; --yes goes on without asking, --dry-run shows the plan'
            )

    def _fetch(self, archive: Archive) -> Path:
        path = self.archive_folder / archive.name
        if path.is_file() or archive.url is None:
            return path
        download(archive.url, path, archive.sha256, progress=self.progress(archive.name))
        message = f'{path}: {path.stat().st_size} bytes'
        if not archive.sha256:
            message += ' (no hash is published; size as the server announced)'
        self.say(message)
        return path

    def _unpack(self, archive: Archive, path: Path) -> None:
        choose_path = functools.partial(self.target_path, archive)
        count = unpack(path, self.root, choose_path, self.writer(archive), self.mark_name(archive))
        self.say(f'{path.name}: {count} files unpacked')
        if self.options.delete_archives:
            path.unlink()


def count_listed_pairs(path: Path, root: Path) -> str:
    """Return in words how many pairs of a list "IMAGE DEPTH ..." exist below the root."""
    lines = path.read_text(encoding='utf-8').splitlines()
    count = 0
    for line in lines:
        # The published NYU list has paths that begin with a slash, which `/` would take as
        # absolute.
        paths = [root / name.lstrip('/') for name in line.split()[:2]]
        count += all(path.is_file() for path in paths)
    return f'{path}: {count} of {len(lines)} pairs are there'
