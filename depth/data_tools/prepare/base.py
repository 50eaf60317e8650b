"""What preparing any data set consists of: splits, archives, unpacking, a last look."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.integrity import sha256_of

from ..published_splits import PUBLISHED_SPLITS
from .download import Progress, download, remote_size
from .unpack import Write, copy_member, is_unpacked, unpack

LARGE = 1 << 30  # bytes above which a download is asked about


@dataclass(frozen=True)
class Archive:
    """One file that is downloaded.

    Attributes:
        name: File name in the archive folder.
        url: Official direct address; None if there is none, or a login is needed.
        about: Its size as its page gives it, for the plan.
        sha256: As published; None if nobody did, then the size that the server announces and the archive's own sums
            are checked.
        unpacked: Whether its contents are what counts, not the file itself.
    """

    name: str
    url: str | None = None
    about: str = 'size not published'
    sha256: str | None = None
    unpacked: bool = True


@dataclass
class Options:
    """What the command line chooses.

    Attributes:
        root: Folder of the data set.
        parts: Which parts; the data set's default ones if empty.
        archives: Folder of downloads; ``ROOT/archives`` by default.
        splits: Folder of published split files; None to fetch them.
        raw: Folder of KITTI raw that is there already.
        jpg: Convert KITTI raw to JPEG.
        delete_archives: Remove each archive once it is unpacked.
        yes: Do not ask.
    """

    root: Path
    parts: Sequence[str] = ()
    archives: Path | None = None
    splits: Path | None = None
    raw: Path | None = None
    jpg: bool = False
    delete_archives: bool = False
    yes: bool = False


class Preparer:
    """Prepares one data set; a subclass says what there is and where it goes.

    Args:
        options: See :class:`Options`.
        say: Receives what happens, line by line.
        ask: Receives a question, returns whether to go on.
        progress: Called with a file's name; returns what is told about its bytes.

    Raises:
        ValueError: If a part is unknown.
    """

    ROOT = ''  # where the configs look
    PAGE = ''  # of the data set
    LICENCE = ''
    CONFIG = ''  # a config that reads it
    PARTS: dict[str, str] = {}  # name: what it is
    DEFAULT_PARTS: tuple[str, ...] = ()
    SPLITS: dict[str, str] = {}  # published split file: where it goes below the root
    BY_HAND = ''  # how to get what has no direct address

    def __init__(
        self,
        options: Options,
        say: Callable[[str], None] = print,
        ask: Callable[[str], bool] = lambda question: False,
        progress: Callable[[str], Progress | None] = lambda name: None,
    ) -> None:
        self.options, self.say, self.ask, self.progress = options, say, ask, progress
        self.root = Path(options.root)
        self.archive_folder = Path(options.archives) if options.archives else self.root / 'archives'
        self.parts = tuple(options.parts or self.DEFAULT_PARTS)
        self.check_parts()

    def check_parts(self) -> None:
        """Refuse parts that there are not."""
        unknown = [part for part in self.parts if part not in self.PARTS]
        if unknown and not self.PARTS:
            raise ValueError('--parts: this data set is prepared as a whole, it has no parts')
        if unknown:
            known = ', '.join(f'{name} ({what})' for name, what in self.PARTS.items())
            raise ValueError(f'--parts: there is no {unknown[0]!r}; the parts are {known}')

    def archives(self) -> list[Archive]:
        """Return what has to be there."""
        raise NotImplementedError

    def place(self, archive: Archive, member: str) -> str | None:
        """Return where a member of an archive goes below the root, None if it is not needed."""
        raise NotImplementedError

    def writer(self, archive: Archive) -> Write:
        """Return how members are written."""
        return copy_member

    def mark_name(self, archive: Archive) -> str:
        """Return what an unpacked archive is remembered as."""
        return archive.name

    def done(self, archive: Archive) -> bool:
        """Whether all that is needed of an archive was unpacked before."""
        return is_unpacked(self.root, self.mark_name(archive))

    def finish(self) -> None:
        """Do what remains after unpacking."""

    def look(self) -> Iterator[str]:
        """Yield what is there now, counted, for the last lines."""
        return iter(())

    def plan(self) -> list[str]:
        """Return what :meth:`run` would do, without a connection."""
        lines = [f'into {self.root}   ({self.LICENCE}; {self.PAGE})']
        for name, target in self.SPLITS.items():
            lines.append(f'split    {target}: {self._split_source(name)}')
        for archive in self.archives():
            if self.done(archive):
                lines.append(f'done     {archive.name} was unpacked before')
            elif (self.archive_folder / archive.name).is_file():
                verb = 'unpack' if archive.unpacked else 'read  '
                lines.append(f'{verb}   {self.archive_folder / archive.name}')
            elif archive.url:
                check = 'SHA-256' if archive.sha256 else 'size and integrity'
                lines.append(f'download {archive.url}   {archive.about}; checked by {check}')
            else:
                lines.append(f'by hand  {archive.name} ({archive.about}) into {self.archive_folder}: {self.BY_HAND}')
        return lines

    def run(self) -> None:
        """Prepare everything; what was done before is not done again.

        Raises:
            FileNotFoundError: If something has to be fetched by hand first.
            InterruptedError: If the question was answered with no.
            ValueError, ConnectionError: If a file is wrong or cannot be fetched.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        for name, target in self.SPLITS.items():
            self.provide_split(name, self.root / target)
        archives = [archive for archive in self.archives() if not self.done(archive)]
        self._check_by_hand(archives)
        self._ask_about(archives)
        for archive in archives:
            path = self._fetch(archive)
            if archive.unpacked:
                self._unpack(archive, path)
        self.finish()
        for line in self.look():
            self.say(line)

    def provide_split(self, name: str, target: Path) -> None:
        """Copy or fetch a published split file and check it; one that is there and right is kept.

        Raises:
            FileNotFoundError: If it is neither given nor has an address.
            ValueError: If it is not the published file.
        """
        split = PUBLISHED_SPLITS[name]
        if target.is_file() and sha256_of(target) == split.sha256:
            return
        if target.is_file():
            self.say(f'{target} is not the published list and is left as it is')
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self._given_split(name)
        if source is not None:
            if (found := sha256_of(source)) != split.sha256:
                raise ValueError(f'{source} has SHA-256 {found}, the published {name} has {split.sha256}')
            write_atomically(target, source.read_bytes())
        elif split.url:
            download(split.url, target, split.sha256)
        else:
            raise FileNotFoundError(f'{name} has no address that is certain; give its folder with --splits DIR')
        self.say(f'{target}: {split.lines} lines, hash as published')

    def list_lines(self) -> list[str]:
        """Return the lines of all split files, of those to come where ``--splits`` has them already."""
        found = ((self.root / target, name) for name, target in self.SPLITS.items())
        paths = (path if path.is_file() else self._given_split(name) for path, name in found)
        return [
            line for path in paths if path for line in path.read_text(encoding='utf-8').splitlines() if line.strip()
        ]

    def _given_split(self, name: str) -> Path | None:
        """Return the file in ``--splits`` that is the split, by its hash, whatever it is called."""
        if self.options.splits is None:
            return None
        folder = Path(self.options.splits)
        files = [folder / name, *sorted(folder.rglob('*.txt'))]
        wanted = PUBLISHED_SPLITS[name].sha256
        for path in files:
            if path.is_file() and sha256_of(path) == wanted:
                return path
        if (folder / name).is_file():
            return folder / name
        raise FileNotFoundError(f'{folder} holds no file with the hash of the published {name}')

    def _split_source(self, name: str) -> str:
        if self.options.splits is not None:
            return f'from {self.options.splits}, checked by hash'
        return PUBLISHED_SPLITS[name].url or 'needs --splits DIR'

    def _check_by_hand(self, archives: Sequence[Archive]) -> None:
        missing = [a.name for a in archives if not a.url and not (self.archive_folder / a.name).is_file()]
        if missing:
            raise FileNotFoundError(
                f'{", ".join(missing)} must be fetched by hand and put into {self.archive_folder}: {self.BY_HAND}'
            )

    def _ask_about(self, archives: Sequence[Archive]) -> None:
        wanted = [archive for archive in archives if not (self.archive_folder / archive.name).is_file()]
        sizes = [remote_size(archive.url) for archive in wanted] if len(wanted) <= 10 else [None] * len(wanted)
        known = sum(size or 0 for size in sizes)
        if not wanted or (None not in sizes and known < LARGE) or self.options.yes:
            return
        about = f'{known / 1e9:.1f} GB' if None not in sizes else f'{len(wanted)} files, {wanted[0].about}'
        if not self.ask(f'{about} will be downloaded into {self.archive_folder} ({self.LICENCE}). Go on?'):
            raise InterruptedError('nothing was downloaded; --yes goes on without asking, --dry-run shows the plan')

    def _fetch(self, archive: Archive) -> Path:
        path = self.archive_folder / archive.name
        if path.is_file() or archive.url is None:
            return path
        download(archive.url, path, archive.sha256, progress=self.progress(archive.name))
        note = '' if archive.sha256 else ' (no hash is published; size as the server announced)'
        self.say(f'{path}: {path.stat().st_size} bytes{note}')
        return path

    def _unpack(self, archive: Archive, path: Path) -> None:
        place = functools.partial(self.place, archive)
        count = unpack(path, self.root, place, self.writer(archive), self.mark_name(archive))
        self.say(f'{path.name}: {count} files unpacked')
        if self.options.delete_archives:
            path.unlink()
