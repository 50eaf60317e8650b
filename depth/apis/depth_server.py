"""Model of a server: one queue for all requests, their limits, and checks of an uploaded image."""

import io
import math
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import depth
from depth.cameras import check_camera
from depth.datasets.transforms.loading import decode_image
from depth.engine.stored_config import config_to_data
from depth.evaluation import PredictionType, get_prediction_type

from .image_cameras import ImageCameras, camera_from_exif
from .inferencer import DepthInferencer
from .model_card import depth_range, licence_facts, licence_text, protocol_facts

IMAGE_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF')
MEDIA_TYPES = dict(png='image/png', npy='application/x-npy')


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


def check_upload(content: bytes, limits: ServingLimits) -> None:
    """Check type and size of an image file by its header, without decoding it.

    Raises:
        ServeError: If it is empty, no image, or too large.
    """
    if not content:
        raise ServeError(400, 'the request has no body; send the bytes of an image file')
    if len(content) > limits.max_bytes:
        raise too_large(limits)
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


def too_large(limits: ServingLimits) -> ServeError:
    """Return the refusal of an image file that has too many bytes."""
    return ServeError(413, f'the image has more than {limits.max_bytes} bytes')
