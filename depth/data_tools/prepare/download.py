"""Downloads that continue where they broke off, and are checked before they get their name."""

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from depth.atomic_write import write_atomically, write_error
from depth.integrity import sha256_of

CHUNK = 1 << 20  # bytes
AGENT = 'depth-toolbox'
_BROKEN = (ConnectionError, TimeoutError, http.client.HTTPException, urllib.error.URLError)
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


def download(
    url: str,
    path: str | Path,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    retries: int = 5,
    wait: float = 2.0,
    timeout: float = 60.0,
) -> Path:
    """Fetch a file; until it is complete and checked it is called ``NAME.part``.

    Args:
        url: Address, http or https.
        path: Where to. A file that is there already is checked and kept.
        sha256: What it must have, hexadecimal; None if nobody published it.
        size: Bytes it must have; None if unknown. What the server announces is checked in any case.
        progress: Told about each chunk.
        retries: How often to try again after the connection broke without a byte gained.
        wait: Seconds before the first new try, doubled each time.
        timeout: Seconds without an answer that count as a broken connection.

    Returns:
        The path.

    Raises:
        ConnectionError: If the connection keeps breaking; the part is kept, running again
            continues.
        FileNotFoundError: If the server has no such file, or refuses it.
        ValueError: If size or hash are wrong.
    """
    path = Path(path)
    if path.is_file():
        _check(path, str(path), url, sha256, size)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(path.name + '.part')
    _fetch_with_retries(url, partial_file, progress, retries, wait, timeout)
    try:
        _check(partial_file, path.name, url, sha256, size)
    except ValueError:
        # Complete but wrong: continuing it would only give the same again.
        _forget(partial_file)
        raise
    partial_file.replace(path)
    _forget(partial_file)
    return path


def remote_size(url: str, timeout: float = 20.0) -> int | None:
    """Return how many bytes the server announces, None if it does not say."""
    request = urllib.request.Request(url, method='HEAD', headers={'User-Agent': AGENT})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            length = answer.headers.get('Content-Length')
    except _BROKEN:
        return None
    if not length:
        return None
    return int(length)


def _fetch_with_retries(
    url: str,
    partial_file: Path,
    progress: Progress | None,
    retries: int,
    wait: float,
    timeout: float,
) -> None:
    failures = 0
    while True:
        before = _length(partial_file)
        try:
            _fetch(url, partial_file, progress, timeout)
            return
        except urllib.error.HTTPError as error:
            # 5xx is a fault of the server and 429 means too many requests: both pass by waiting.
            if error.code < 500 and error.code != 429:
                raise FileNotFoundError(
                    f'{url}: the server answers {error.code} {error.reason}; get the file by hand '
                    'and put it into the archive folder under its name'
                ) from error
            reason: Exception = error
        except _BROKEN as error:
            reason = error
        # Whoever gains a byte may go on: a file of 100 GB breaks off more than five times.
        if _length(partial_file) > before:
            failures = 0
        failures += 1
        if failures > retries:
            raise ConnectionError(
                f'{url}: the connection broke {failures} times ({reason}); '
                f'{_length(partial_file)} bytes are kept in {partial_file}, running the same '
                'command continues from there'
            ) from reason
        time.sleep(wait * 2 ** (failures - 1))


def _fetch(url: str, partial_file: Path, progress: Progress | None, timeout: float) -> None:
    """Fetch what is missing of a part."""
    start, version = _length(partial_file), _version_file(partial_file)
    headers = {'User-Agent': AGENT, 'Accept-Encoding': 'identity'}
    if start:
        headers['Range'] = f'bytes={start}-'
        # If the file has changed on the server since, it is sent from the beginning.
        if version.is_file():
            headers['If-Range'] = version.read_text(encoding='utf-8')
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        # 416, range not satisfiable: the part already ends where the file ends, or beyond it.
        if error.code != 416:
            raise
        if error.headers.get('Content-Range') == f'bytes */{start}':
            return
        _forget(partial_file)
        raise ConnectionError('what was kept is no beginning of the file, starting over') from error
    with answer:
        # 200 instead of 206, partial content: the server ignored the range and sends everything.
        if answer.status != 206:
            start = 0
        total = _total(answer, start)
        # `If-Range` needs a strong tag; a weak one (W/) does not promise equal bytes.
        tag = answer.headers.get('ETag')
        if tag and not tag.startswith('W/'):
            write_atomically(version, tag)
        _copy(answer, partial_file, start, total, progress)


def _total(answer: http.client.HTTPResponse, start: int) -> int | None:
    """Return the length of the whole file in bytes, None if the server does not tell."""
    if answer.status == 206:
        span = re.match(r'bytes (\d+)-\d+/(\d+|\*)', answer.headers.get('Content-Range', ''))
        if not span or int(span.group(1)) != start:
            raise ConnectionError(f'the server continued at another place than byte {start}')
        total = span.group(2)
    else:
        total = answer.headers.get('Content-Length')
    if not total or total == '*':
        return None
    return int(total)


def _copy(
    answer: http.client.HTTPResponse,
    partial_file: Path,
    start: int,
    total: int | None,
    progress: Progress | None,
) -> None:
    received = start
    mode = 'ab' if start else 'wb'
    with partial_file.open(mode) as file:
        while chunk := answer.read(CHUNK):
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise write_error(partial_file, error) from error
            received += len(chunk)
            if progress:
                progress(received, total)
    if total is not None and received < total:
        raise ConnectionError(f'{received} of {total} bytes came')


def _check(file: Path, name: str, url: str, sha256: str | None, size: int | None) -> None:
    if size is not None and _length(file) != size:
        raise ValueError(
            f'{name} from {url} has {_length(file)} bytes, expected {size}; delete it and fetch it '
            'again'
        )
    if sha256 is None:
        return
    digest = sha256_of(file)
    if digest != sha256:
        raise ValueError(
            f'{name} from {url} has SHA-256 {digest}, expected {sha256}: it is damaged or another '
            'version; delete it and fetch it again'
        )


def _length(path: Path) -> int:
    """Return the length of a file in bytes, 0 if it does not exist."""
    if not path.is_file():
        return 0
    return path.stat().st_size


def _version_file(partial_file: Path) -> Path:
    return partial_file.with_name(partial_file.name + '.etag')


def _forget(partial_file: Path) -> None:
    partial_file.unlink(missing_ok=True)
    _version_file(partial_file).unlink(missing_ok=True)
