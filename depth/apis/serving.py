"""Depth over HTTP: one queue for the model, limits, and an endpoint with one clear error each.

``POST /predict`` takes an image and answers with a 16-bit PNG or an npy array, ``GET /info`` with what
the model is, ``GET /health`` with the state of the queue. The page of :mod:`depth.apis.serving_page`
shares the queue.
"""

import asyncio
import io
import logging
import math
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import depth
from depth.cameras import check_camera
from depth.datasets.optional_imports import import_optional
from depth.datasets.transforms.loading import decode_image
from depth.engine.stored_config import config_to_data
from depth.evaluation import PredictionType, get_prediction_type
from depth.visualization import encode_depth_png

from .hub import from_pretrained
from .image_cameras import ImageCameras, camera_from_exif
from .inferencer import DepthInferencer
from .model_card import depth_range, licence_facts, licence_text, protocol_facts
from .published_files import list_published

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

IMAGE_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF')
MEDIA_TYPES = dict(png='image/png', npy='application/x-npy')
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


@dataclass(frozen=True)
class ServingLimits:
    """Limits of a server.

    Args:
        max_bytes: Size of an image file.
        max_pixels: Width times height of an image.
        timeout: Seconds for one request, with its time in the queue.
        max_queue: Requests that wait or run; any further one is refused at once.

    Raises:
        ValueError: If one is not positive.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 25_000_000
    timeout: float = 60.0
    max_queue: int = 64

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f'{name} of a server is a number above 0, got {value}')


class ServeError(Exception):
    """Raised for a request that gets no depth.

    Args:
        status: HTTP status.
        message: One sentence for the client.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class ServedDepth:
    """Depth of one image.

    Args:
        depth: (H, W) float32, metres or the quantity of ``prediction_type``.
        visible: The same, 0 where the method masks a pixel, such as sky.
        img: BGR uint8 (H, W, 3), the part of the image that the depth belongs to.
        camera: K (3, 3) in pixels of ``depth``; None if it is unknown.
        crop_box: Top, left, height, width of ``img`` in the image; None for all of it.
        prediction_type: Quantity.
        seconds: Time of the prediction.
    """

    depth: np.ndarray
    visible: np.ndarray
    img: np.ndarray
    camera: np.ndarray | None
    crop_box: tuple[int, int, int, int] | None
    prediction_type: PredictionType
    seconds: float


class DepthServer:
    """Model with a queue: one image at a time, because one forward pass already uses all cores.

    Images differ in size and a model must not see padding, so there are no batches.

    Args:
        inferencer: The model.
        name: Name that is shown.
        limits: Limits of each request.
    """

    def __init__(
        self, inferencer: DepthInferencer, name: str, limits: ServingLimits | None = None
    ) -> None:
        self.inferencer, self.name = inferencer, name
        self.limits = limits or ServingLimits()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix='depth-forward')
        self._lock = threading.Lock()
        self._num_pending = 0
        self.default_camera = inferencer.model.cfg.get('default_intrinsics')

    @property
    def num_pending(self) -> int:
        """Number of requests that wait or run."""
        return self._num_pending

    def submit(self, function: Callable[[], Any]) -> Future:
        """Put work into the queue.

        Raises:
            ServeError: If the queue is full (503).
        """
        with self._lock:
            if self._num_pending >= self.limits.max_queue:
                raise ServeError(
                    503, f'the queue is full ({self.limits.max_queue} requests); try again later'
                )
            self._num_pending += 1
        future = self._executor.submit(function)
        # Also called for work that is cancelled while it waits.
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future) -> None:
        with self._lock:
            self._num_pending -= 1

    def predict_file(self, content: bytes, options: 'CameraOptions') -> ServedDepth:
        """Decode an image file and predict its depth; runs in the queue.

        Raises:
            ServeError: If it is no image within the limits, or the model cannot process it.
        """
        img = read_upload(content, self.limits)
        return self.predict(img, options.camera(img.shape[:2], content, self.default_camera))

    def predict(self, img: np.ndarray, camera: np.ndarray | None) -> ServedDepth:
        """Predict the depth of an image (H, W, 3), BGR uint8; runs in the queue.

        Raises:
            ServeError: If the model cannot process it.
        """
        start = time.perf_counter()
        intrinsics = None
        if camera is not None:
            intrinsics = (camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2])
        result = self.inferencer([img], intrinsics=intrinsics)
        for message in result['errors'].values():
            raise ServeError(422, f'this image cannot be processed: {message}')
        sample = result['predictions'][0]
        values = sample.pred_depth.numpy()
        visible = values
        if 'pred_mask' in sample:
            visible = np.where(sample.pred_mask.numpy() > 0.5, values, np.float32(0))
        crop_box = sample.metainfo.get('crop_box')
        if crop_box is not None:
            top, left, height, width = crop_box
            img = img[top : top + height, left : left + width]
            if camera is not None:
                camera = camera - [[0, 0, left], [0, 0, top], [0, 0, 0]]
        if camera is None and 'pred_intrinsics' in sample:
            camera = sample.pred_intrinsics.numpy()
        quantity = get_prediction_type(sample.metainfo.get('prediction_type', 'metric'))
        seconds = time.perf_counter() - start
        return ServedDepth(values, visible, img, camera, crop_box, quantity, seconds)

    def describe(self) -> dict:
        """Return what the model is, how it was tested, its licence, and the limits; plain data."""
        model = self.inferencer.model
        data = config_to_data(model.cfg)
        stated = getattr(model, 'card', {})
        facts = dict(licence=stated.get('licence'), published=licence_facts(data))
        return dict(
            name=self.name,
            source=Path(str(model.source)).name,
            prediction_type=model.prediction_type,
            depth_range=depth_range(model),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            protocols=protocol_facts(data),
            metrics=stated.get('metrics', {}),
            licence=licence_text(facts),
            published=facts['published'],
            limits=asdict(self.limits),
            input_formats=list(IMAGE_FORMATS),
            output_formats=MEDIA_TYPES,
            version=depth.__version__,
        )

    def close(self) -> None:
        """Stop the queue; work that waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class CameraOptions:
    """Camera that a client states for its image.

    Args:
        intrinsics: fx, fy, cx, cy in pixels.
        fov: Horizontal field of view in degrees.
    """

    intrinsics: tuple[float, ...] | None = None
    fov: float | None = None

    def camera(
        self, size: tuple[int, int], content: bytes, default: Any = None
    ) -> np.ndarray | None:
        """Return K (3, 3): the stated one, that of the config, or that of the EXIF data.

        Raises:
            ServeError: If it is impossible.
        """
        try:
            camera = ImageCameras(self.intrinsics, self.fov, default).matrix(size, None)
            if camera is None:
                camera = camera_from_exif(io.BytesIO(content))
            return None if camera is None else check_camera(camera, 'the camera', size)
        except ValueError as error:
            raise ServeError(400, str(error).replace('--', '')) from error

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> 'CameraOptions':
        """Read ``fov=DEGREES`` or ``intrinsics=FX,FY,CX,CY``.

        Raises:
            ServeError: If they are no numbers.
        """
        try:
            fov = float(query['fov']) if 'fov' in query else None
        except ValueError:
            fov = math.nan
        if fov is not None and not 0 < fov < 180:
            raise ServeError(
                400, f'fov is an angle between 0 and 180 degrees, got {query["fov"]!r}'
            )
        if 'intrinsics' not in query:
            return cls(None, fov)
        if fov is not None:
            raise ServeError(
                400, 'fov and intrinsics both say what the camera is; give one of them'
            )
        try:
            intrinsics = tuple(float(number) for number in query['intrinsics'].split(','))
        except ValueError:
            intrinsics = ()
        if len(intrinsics) != 4 or not all(map(math.isfinite, intrinsics)):
            raise ServeError(
                400, f'intrinsics is FX,FY,CX,CY in pixels, got {query["intrinsics"]!r}'
            )
        return cls(intrinsics)


def check_upload(content: bytes, limits: ServingLimits) -> None:
    """Check type and size of an image file by its header, without decoding it.

    Raises:
        ServeError: If it is empty, no image, or too large.
    """
    if not content:
        raise ServeError(400, 'the request has no body; send the bytes of an image file')
    if len(content) > limits.max_bytes:
        raise _too_large(limits)
    try:
        with warnings.catch_warnings():
            # Pillow warns of images that the limit below refuses or allows.
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                image_format, (width, height) = image.format, image.size
    except Image.DecompressionBombError as error:
        raise ServeError(413, f'the image has too many pixels: {error}') from error
    # Damaged headers raise errors of many kinds.
    except Exception as error:
        raise ServeError(
            415, f'the body is no readable image; send {", ".join(IMAGE_FORMATS)}'
        ) from error
    if image_format not in IMAGE_FORMATS:
        raise ServeError(
            415, f'the image is {image_format}, only {", ".join(IMAGE_FORMATS)} are read'
        )
    if width * height > limits.max_pixels:
        raise ServeError(
            413,
            f'the image has {width}x{height} pixels, at most {limits.max_pixels} are accepted',
        )


def read_upload(content: bytes, limits: ServingLimits) -> np.ndarray:
    """Decode an image file to BGR uint8 (H, W, 3), as inference does with a file.

    Raises:
        ServeError: If it is no readable image within the limits.
    """
    check_upload(content, limits)
    try:
        with Image.open(io.BytesIO(content)) as image:
            # OpenCV decodes a PNG that is cut off to a partly black picture; Pillow refuses it.
            # JPEG files are checked by our own reader.
            if image.format != 'JPEG':
                image.load()
        return decode_image(np.frombuffer(content, np.uint8), 'of the request')
    except Exception as error:
        raise ServeError(400, f'the image is damaged: {error}') from error


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
    try:
        content = await asyncio.wait_for(_read_body(request, server.limits), timeout)
    except TimeoutError as error:
        raise ServeError(408, f'the image did not arrive within {timeout:g} s') from error
    check_upload(content, server.limits)
    future = server.submit(lambda: _predict_encoded(server, content, camera, output))
    try:
        body, headers = await asyncio.wait_for(
            asyncio.wrap_future(future), max(deadline - time.monotonic(), 0.001)
        )
    except TimeoutError as error:
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
        raise _too_large(limits)
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


def _too_large(limits: ServingLimits) -> ServeError:
    return ServeError(413, f'the image has more than {limits.max_bytes} bytes')


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
