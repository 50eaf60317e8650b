"""Depth over HTTP: endpoints of a server with one clear error each, and the server process.

``POST /predict`` takes an image and answers with a 16-bit PNG or an npy array, ``GET /info`` with
what the model is, ``GET /health`` with the state of the queue. :mod:`depth.apis.depth_server` has
the model and its queue, which the page of :mod:`depth.apis.serving_page` shares.
"""

import asyncio
import io
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depth.datasets.optional_imports import import_optional
from depth.evaluation import PredictionType
from depth.visualization import encode_depth_png

from .depth_server import (
    MEDIA_TYPES,
    CameraOptions,
    DepthServer,
    ServeError,
    ServingLimits,
    check_upload,
    too_large,
)
from .hub import from_pretrained
from .inferencer import DepthInferencer
from .published_files import list_published

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

# What else a client may ask for in its Accept header, and gets as.
_ACCEPTED = {
    '*/*': 'png',
    'image/*': 'png',
    'application/octet-stream': 'npy',
    'application/*': 'npy',
}
# A body beyond its limit is read on for a while, because a client that is cut off while it sends
# reports a broken connection in place of the answer.
_DRAINED = 4


def load_inferencer(
    model: str | Path,
    config: str | Path | None = None,
    device: str = 'auto',
    cfg_options: dict | None = None,
    trusted_modules: tuple[str, ...] = (),
) -> DepthInferencer:
    """Return the inferencer of a checkpoint, a model folder, published weights or a repository.

    Args:
        model: Checkpoint; or what ``from_pretrained`` takes.
        config: Config of a checkpoint that carries none.
        device: As in :class:`DepthInferencer`.
        cfg_options: Values by dotted key that replace those of the config.
        trusted_modules: Modules outside the toolbox that the config may import and name.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it cannot be loaded.
    """
    is_file = Path(model).is_file()
    is_pretrained = Path(model).is_dir() or str(model) in list_published()
    if config is None and not is_file and is_pretrained:
        if device == 'auto':
            import torch

            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        built = from_pretrained(
            model, device, cfg_options=cfg_options, trusted_modules=trusted_modules
        )
        return DepthInferencer(built)
    return DepthInferencer(config, model, device, cfg_options, trusted_modules)


def build_app(server: DepthServer) -> 'FastAPI':
    """Return the application with the endpoints of a server, without the page."""
    fastapi = import_optional('fastapi', 'depth serve', 'serve')
    from starlette.exceptions import HTTPException

    # The pages of documentation that FastAPI adds load scripts from the internet.
    app = fastapi.FastAPI(title='depth', docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(ServeError)
    async def answer_refused(request: fastapi.Request, error: ServeError) -> fastapi.Response:
        return _error_response(error.status, error.message)

    @app.exception_handler(HTTPException)
    async def answer_http(request: fastapi.Request, error: HTTPException) -> fastapi.Response:
        message = f'{error.detail}: there are POST /predict, GET /info and GET /health'
        return _error_response(error.status_code, message)

    @app.exception_handler(Exception)
    async def answer_failed(request: fastapi.Request, error: Exception) -> fastapi.Response:
        return _error_response(500, f'the server failed: {type(error).__name__}')

    @app.get('/health')
    async def health() -> dict:
        return dict(status='ok', pending=server.num_pending, max_queue=server.limits.max_queue)

    facts = server.describe()

    @app.get('/info')
    async def info() -> dict:
        return facts

    @app.post('/predict')
    async def predict(request: fastapi.Request) -> fastapi.Response:
        return await _answer_predict(server, request)

    # With a page every other path belongs to it, so that its answer would be the page's.
    @app.api_route('/predict', methods=['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH'])
    async def refuse() -> None:
        raise ServeError(405, 'POST the bytes of an image to /predict')

    return app


async def _answer_predict(server: DepthServer, request: 'Request') -> 'Response':
    from fastapi import Response

    output = choose_output(request.query_params, request.headers.get('accept', '*/*'))
    camera = CameraOptions.from_query(request.query_params)
    content_type = request.headers.get('content-type', '')
    if content_type.startswith('multipart/'):
        raise ServeError(
            415, 'forms are not read; send the bytes of the file: curl --data-binary @image.jpg URL'
        )
    timeout = server.limits.timeout
    deadline = time.monotonic() + timeout
    # Before Python 3.11 asyncio has a TimeoutError of its own.
    try:
        content = await asyncio.wait_for(_read_body(request, server.limits), timeout)
    except asyncio.TimeoutError as error:
        raise ServeError(408, f'the image did not arrive within {timeout:g} s') from error
    check_upload(content, server.limits)
    future = server.submit(lambda: _predict_encoded(server, content, camera, output))
    try:
        body, headers = await asyncio.wait_for(
            asyncio.wrap_future(future), max(deadline - time.monotonic(), 0.001)
        )
    except asyncio.TimeoutError as error:
        raise ServeError(
            504, f'no depth within {timeout:g} s; the server is busy, or the image is large'
        ) from error
    return Response(body, media_type=MEDIA_TYPES[output], headers=headers)


async def _read_body(request: 'Request', limits: ServingLimits) -> bytes:
    content, received = bytearray(), 0
    async for chunk in request.stream():
        received += len(chunk)
        if received <= limits.max_bytes:
            content += chunk
        elif received > _DRAINED * limits.max_bytes:
            break
    if received > limits.max_bytes:
        raise too_large(limits)
    return bytes(content)


def _predict_encoded(
    server: DepthServer, content: bytes, camera: CameraOptions, output: str
) -> tuple[bytes, dict[str, str]]:
    """Return the file of a prediction, and its facts as HTTP headers; runs in the queue."""
    result = server.predict_file(content, camera)
    height, width = result.depth.shape
    quantity = result.prediction_type
    facts = {
        'Type': quantity.value,
        'Unit': 'm' if quantity is PredictionType.METRIC else 'none',
        'Size': f'{width}x{height}',
        'Min': f'{result.depth.min():.6g}',
        'Max': f'{result.depth.max():.6g}',
        'Seconds': f'{result.seconds:.4f}',
    }
    if result.crop_box is not None:
        facts['Crop'] = ','.join(str(int(number)) for number in result.crop_box)
    if output == 'png':
        body, stored = encode_depth_png(result.depth, prediction_type=quantity.value)
        facts['Scale'] = f'{stored["depth_scale"]:.9g}'
        facts['Saturated-Pixels'] = str(stored['saturated_pixels'])
    else:
        file = io.BytesIO()
        np.save(file, result.depth)
        body = file.getvalue()
    return body, {f'X-Depth-{name}': value for name, value in facts.items()}


def choose_output(query: Mapping[str, str], accept: str) -> str:
    """Return the format of an answer: that of ``?format=``, or the first one accepted.

    Raises:
        ServeError: If there is no such format.
    """
    if 'format' in query:
        if query['format'] not in MEDIA_TYPES:
            raise ServeError(400, f'format is {" or ".join(MEDIA_TYPES)}, got {query["format"]!r}')
        return query['format']
    for entry in accept.split(','):
        media_type = entry.partition(';')[0].strip().lower()
        for output, own_type in MEDIA_TYPES.items():
            if media_type == own_type:
                return output
        if media_type in _ACCEPTED:
            return _ACCEPTED[media_type]
    raise ServeError(406, f'answers are {" or ".join(MEDIA_TYPES.values())}, not {accept!r}')


def _error_response(status: int, message: str) -> 'Response':
    from fastapi.responses import JSONResponse

    return JSONResponse(dict(error=message, status=status), status)


def serve(
    server: DepthServer,
    host: str = '127.0.0.1',
    port: int = 7860,
    page: bool = True,
    examples: str | Path | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Run a server until Ctrl-C.

    Args:
        server: The model and its limits.
        host: Address to listen on; the default is reached from this machine alone.
        port: Port; 0 takes a free one.
        page: Whether the page is served beside the endpoint.
        examples: Folder of example frames; by default rendered ones.
        on_start: Called with the address when the server answers.

    Raises:
        OSError: If the port is taken, or the address is not one of this machine.
    """
    uvicorn = import_optional('uvicorn', 'depth serve', 'serve')
    listener = _listen(host, port)
    app = build_app(server)
    if page:
        from .serving_page import mount_page

        app = mount_page(app, server, examples)
    host_name = f'[{host}]' if ':' in host else host
    address = f'http://{host_name}:{listener.getsockname()[1]}'
    config = uvicorn.Config(app, log_level='warning', timeout_keep_alive=5, lifespan='on')
    # Requests are logged by whoever stands in front; the library's lines have no use here.
    logging.getLogger('httpx').setLevel(logging.WARNING)
    if on_start is not None:
        on_start(address)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        server.close()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: If there is none; the message says what to do.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # A server that just ended leaves its port in a waiting state.
    if os.name == 'posix':
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise OSError(
            f'cannot listen on {host} port {port}: {error.strerror or error}; --port 0 takes a '
            'free port, --host 127.0.0.1 is this machine'
        ) from error
    return listener
