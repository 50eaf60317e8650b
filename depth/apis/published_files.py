"""Download of published checkpoints by the name of their config.

Addresses and licences are facts of the converters (``register_converter(downloads=...)``). A file
is fetched where its licence allows it, checked, and kept in a cache folder, where a file that was
fetched by hand is taken too.
"""

import json
import os
import sys
import time
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from depth.atomic_write import write_atomically
from depth.data_tools.prepare.download import download
from depth.engine.converters import SOURCES, PublishedFile
from depth.integrity import sha256_of
from depth.registry import CONVERTERS

# Licences under which anybody may use the weights; any other one has to be accepted by name.
FREE_LICENCES = ('Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'MIT')
_RECORD_SUFFIX = '.record.json'
_REPORT_INTERVAL = 5.0  # seconds between lines of progress where there is no terminal


def list_published() -> dict[str, tuple[str, PublishedFile]]:
    """Return method and published file by config name."""
    CONVERTERS.import_from_location()
    files = {}
    for method, source in SOURCES.items():
        for name, file in source.downloads.items():
            files[name] = (method, file)
    return files


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the folder of downloads: given, ``DEPTH_CACHE``, or ``~/.cache/depth-toolbox``."""
    if cache_dir is None:
        cache_dir = os.environ.get('DEPTH_CACHE')
    if cache_dir:
        return Path(cache_dir).expanduser()
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base, 'depth-toolbox')


def published_path(name: str, cache_dir: str | Path | None = None) -> Path:
    """Return the path in the cache of a config's published file, whether it is there or not."""
    _, file = list_published()[name]
    # Several publishers call their file `model.safetensors`, so each config has a folder.
    return (
        cache_folder(cache_dir) / 'published' / name / PurePosixPath(urlsplit(file.url).path).name
    )


def fetch_published(
    name: str,
    cache_dir: str | Path | None = None,
    accept_licence: str | None = None,
    local_files_only: bool = False,
    show_progress: bool = True,
    retries: int = 2,
) -> Path:
    """Return the published checkpoint of a config; it is fetched unless the cache has it.

    Args:
        name: Name of the config, see :func:`list_published`.
        cache_dir: See :func:`cache_folder`.
        accept_licence: Name of the licence of the weights, for one that restricts their use.
        local_files_only: Never ask the network.
        show_progress: Write the progress to the standard error stream.
        retries: New tries after the connection broke without a byte gained.

    Returns:
        The path. Its size and SHA-256 are those published, or those recorded by
        :func:`record_published`; if there are none, nothing is known to compare with.

    Raises:
        PermissionError: If the licence has to be accepted, or the authors state none.
        ConnectionError: If it cannot be fetched; the message says what to fetch by hand and where
            to put it.
        ValueError: If size or hash differ.
    """
    method, file = list_published()[name]
    path = published_path(name, cache_dir)
    by_hand = f'fetch {file.url} by hand and put it at {path}; the same call then takes it'
    if path.is_file():
        _check(path, file)
        return path
    page = SOURCES[method].url
    if not file.licence:
        raise PermissionError(
            f'{name}: its authors state no licence for {path.name} ({page}), so it is not fetched '
            f'for you. If you may use it, {by_hand}'
        )
    if file.licence not in FREE_LICENCES and accept_licence != file.licence:
        raise PermissionError(
            f'{name}: the weights are under {file.licence} ({page}), which restricts their use. To '
            f"accept it give accept_licence='{file.licence}', or {by_hand}"
        )
    if local_files_only:
        raise ConnectionError(f'{name}: {path} is not there, and downloads are off; {by_hand}')
    progress = _ProgressLine(path.name) if show_progress else None
    try:
        return download(
            file.url, path, file.sha256, file.size, progress=progress, retries=retries, wait=1.0
        )
    except (ConnectionError, FileNotFoundError) as error:
        raise ConnectionError(f'{name} could not be fetched: {error}. Or {by_hand}') from error
    finally:
        if progress is not None:
            progress.finish()


def record_published(name: str, cache_dir: str | Path | None = None) -> str | None:
    """Record size and SHA-256 of a file that was loaded, and whose publisher states no hash.

    Every later :func:`fetch_published` compares the file with the record. The record says nothing
    about the first download itself, which only the publisher could vouch for.

    Returns:
        The SHA-256 that was recorded now, None if there was nothing to record.
    """
    _, file = list_published()[name]
    path = published_path(name, cache_dir)
    record = path.with_name(path.name + _RECORD_SUFFIX)
    if file.sha256 is not None or record.is_file():
        return None
    content = dict(
        url=file.url,
        size=path.stat().st_size,
        sha256=sha256_of(path),
        note='recorded when the file was first loaded here; its publisher states no SHA-256',
        time=time.strftime('%Y-%m-%d %H:%M:%S'),
    )
    write_atomically(record, json.dumps(content, indent=2) + '\n')
    return content['sha256']


def _check(path: Path, file: PublishedFile) -> None:
    """Compare a file of the cache with what was published, or recorded at its first use."""
    size, digest, origin = file.size, file.sha256, 'published'
    record = path.with_name(path.name + _RECORD_SUFFIX)
    if digest is None and record.is_file():
        try:
            content = json.loads(record.read_text(encoding='utf-8'))
            size, digest, origin = content['size'], content['sha256'], f'recorded in {record.name}'
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{record} is damaged ({error}); remove it') from error
    actual_size = path.stat().st_size
    if size is not None and actual_size != size:
        raise ValueError(
            f'{path} has {actual_size} bytes, {size} are {origin}; remove it and its record, and '
            'fetch it again'
        )
    if digest is None:
        return
    actual = sha256_of(path)
    if actual != digest:
        raise ValueError(
            f'{path} has SHA-256 {actual}, {digest} is {origin}; remove it and its record, and '
            'fetch it again'
        )


class _ProgressLine:
    """Line of progress of a download on the standard error stream.

    It is renewed in a terminal and repeated every few seconds in a log.

    Args:
        name: Name of the file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_terminal = sys.stderr.isatty()
        self.start = self.shown = time.monotonic()
        self.first_byte: int | None = None

    def __call__(self, received: int, total: int | None) -> None:
        """Show bytes so far, bytes in all if known, and the rate."""
        now = time.monotonic()
        # What an earlier download kept does not count for the rate.
        if self.first_byte is None:
            self.first_byte = received
        is_last = received == total
        if not is_last and now - self.shown < (0.2 if self.is_terminal else _REPORT_INTERVAL):
            return
        self.shown = now
        rate = (received - self.first_byte) / max(now - self.start, 1e-3)
        text = f'{self.name}: {received / 1e6:.1f} MB'
        if total:
            text += f' of {total / 1e6:.1f} MB ({100 * received / total:.0f} %)'
        text += f', {rate / 1e6:.1f} MB/s'
        if total and rate > 0:
            text += f', {(total - received) / rate:.0f} s left'
        print(f'\r{text}\033[K' if self.is_terminal else text, end='', file=sys.stderr)
        if not self.is_terminal:
            print(file=sys.stderr)

    def finish(self) -> None:
        """End the line in a terminal."""
        if self.is_terminal:
            print(file=sys.stderr)
