"""A local web server of a folder that breaks off, stalls, lies about lengths and counts requests."""

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server:
    """How the files of a folder are served.

    Attributes:
        folder: The files.
        faults: Faults of coming answers, used up one by one: ``break`` sends half of the content,
            ``short`` announces half of it, ``long`` announces more than there is, ``zeros`` sends
            zeros, ``stall`` sends half and waits, ``error`` answers 503, ``missing`` 404,
            ``elsewhere`` claims another byte than it was asked for. All but the last two of them
            leave ``shards.json`` alone unless ``on_index`` is set.
        ranges: Whether ``Range`` is understood.
        requests: Name and range of every request.
        url: Address of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.on_index = False
        self.ranges = True
        self.requests: list[tuple[str, str | None]] = []
        self.url = ''
        self.is_closed = threading.Event()

    def gets(self, suffix: str = '.tar') -> list[tuple[str, str | None]]:
        return [request for request in self.requests if request[0].endswith(suffix)]


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    state = Server(folder)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.rpartition('/')[2]
            span = self.headers.get('Range') if state.ranges else None
            state.requests.append((name, span))
            fault = ''
            if state.faults and (state.on_index or name.endswith('.tar')):
                fault = state.faults.pop(0)
            path = state.folder / name
            if fault == 'error' or fault == 'missing' or not path.is_file():
                self.send_error(503 if fault == 'error' else 404)
                return
            content = path.read_bytes()
            start = int(re.match(r'bytes=(\d+)-', span).group(1)) if span else 0
            body = content[start:]
            announced = dict(short=len(body) // 2, long=len(body) + 999).get(fault, len(body))
            self.send_response(206 if span else 200)
            if span:
                first = start + 7 if fault == 'elsewhere' else start
                self.send_header('Content-Range', f'bytes {first}-{len(content) - 1}/*')
            self.send_header('Content-Length', str(announced))
            self.end_headers()
            if fault == 'zeros':
                body = bytes(len(body))
            if fault in ('break', 'stall'):
                body = body[: len(body) // 2]
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)
                self.wfile.flush()
            if fault == 'stall':
                state.is_closed.wait(5)
            self.close_connection = True

    httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(
        target=httpd.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True
    )
    thread.start()
    state.url = f'http://127.0.0.1:{httpd.server_address[1]}'
    try:
        yield state
    finally:
        state.is_closed.set()
        httpd.shutdown()
        httpd.server_close()
