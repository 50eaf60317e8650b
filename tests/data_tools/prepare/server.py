"""A local web server that continues downloads, breaks connections and counts what it is asked."""

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Files by path, and how they are served.

    Attributes:
        files: Contents by path, ``/a.zip``.
        break_after: Bytes after which each connection breaks; None for never.
        breaks: How many connections still break.
        ranges: Whether ``Range`` is understood.
        tag: ETag of every file.
        requests: What was asked: method, path, Range.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.break_after: int | None = None
        self.breaks = 0
        self.ranges = True
        self.tag = '"1"'
        self.requests: list[tuple[str, str, str | None]] = []
        self.address = ''

    def url(self, name: str) -> str:
        return f'{self.address}/{name}'

    def gets(self) -> list[str | None]:
        """Return the ranges that were asked for."""
        return [span for method, _, span in self.requests if method == 'GET']


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            span = self.headers.get('Range')
            state.requests.append((self.command, self.path, span))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(re.match(r'bytes=(\d+)-', span).group(1)) if span and state.ranges else 0
            if self.headers.get('If-Range', state.tag) != state.tag:
                start, span = 0, None
            if start >= len(content) and start:
                self.send_response(416)
                self.send_header('Content-Range', f'bytes */{len(content)}')
                self.send_header('Content-Length', '0')
                self.end_headers()
                return
            partial = bool(span) and state.ranges
            self.send_response(206 if partial else 200)
            if partial:
                self.send_header(
                    'Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}'
                )
            self.send_header('Content-Length', str(len(content) - start))
            self.send_header('ETag', state.tag)
            self.end_headers()
            if body:
                self.send_body(content[start:])

        def send_body(self, content: bytes) -> None:
            if (
                state.break_after is not None
                and state.breaks > 0
                and len(content) > state.break_after
            ):
                state.breaks -= 1
                self.wfile.write(content[: state.break_after])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(content)

    httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(
        target=httpd.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True
    )
    thread.start()
    state.address = f'http://127.0.0.1:{httpd.server_address[1]}'
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()
